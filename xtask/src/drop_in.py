"""Real programs that start skopeo, each with work of its own. Run by `cargo xtask drop-in`.

Arguments: the registry's host and port, and a folder to work in. There is app:1 in the registry.
"""

import json
import os
import sys

REGISTRY, FOLDER = sys.argv[1:3]


def olot():
    """Models as layers of images (containers/olot): pulls a base, looks at it, pushes it."""
    from olot.backend.skopeo import is_skopeo, skopeo_inspect, skopeo_pull, skopeo_push

    assert is_skopeo()
    layout = os.path.join(FOLDER, "olot")
    plain = ["--src-tls-verify=false"]
    skopeo_pull(f"{REGISTRY}/app:1", layout, plain)
    assert os.path.exists(os.path.join(layout, "index.json"))
    skopeo_push(layout, f"{REGISTRY}/olot:1", ["--dest-tls-verify=false"])
    pushed = skopeo_inspect(f"docker://{REGISTRY}/olot:1", ["--tls-verify=false"])
    assert json.loads(pushed) == json.loads(skopeo_inspect(f"oci:{layout}:latest"))


def kiwi():
    """The builder of SUSE's images: asks for the version, imports an image, exports it with tags."""
    from kiwi.oci_tools.umoci import OCIUmoci

    archive = os.path.join(FOLDER, "kiwi.tar")
    with OCIUmoci() as oci:
        assert oci._skopeo_provides_tmpdir_option()
        oci.import_container_image(f"docker://{REGISTRY}/app:1")
        oci.export_container_image(archive, "docker-archive", "kiwi:1", ["kiwi:2"])
    assert os.path.getsize(archive) > 0


def pubtools_quay():
    """Red Hat's publisher: logs in, copies to many tags, reads what inspect says."""
    from pubtools._quay.command_executor import LocalExecutor

    with LocalExecutor() as executor:
        executor.skopeo_login(REGISTRY, "me", "secret")
        executor.skopeo_login(REGISTRY, "me")
        tags = [f"{REGISTRY}/published:{tag}" for tag in ("1", "1.0", "latest")]
        executor.tag_images(f"{REGISTRY}/app:1", tags, all_arch=True)
        told = executor.skopeo_inspect(f"{REGISTRY}/published:latest")
        assert sorted(told["RepoTags"]) == ["1", "1.0", "latest"], told
        assert told["Architecture"], told


for program in (olot, kiwi, pubtools_quay):
    program()
    print(f"works: {program.__name__}")
