"""Real programs that start skopeo, each with work of its own. Run by `cargo xtask drop-in`.

Arguments: the registry's host and port, a folder to work in, and docs/schemas. There is app:1 in the
registry.
"""

import json
import os
import shutil
import subprocess
import sys

REGISTRY, FOLDER, SCHEMAS = sys.argv[1:4]


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


def run(*words, **more):
    """Runs a command of a tutorial, and gives what it prints."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def umoci():
    """The quick start of umoci: an image is copied into a layout, unpacked, changed, repacked, pushed."""
    layout, bundle = os.path.join(FOLDER, "umoci"), os.path.join(FOLDER, "bundle")
    run("skopeo", "copy", f"docker://{REGISTRY}/app:1", f"oci:{layout}:1")
    run("umoci", "unpack", "--image", f"{layout}:1", bundle)
    with open(os.path.join(bundle, "rootfs", "added"), "w", encoding="utf-8") as file:
        file.write("by umoci")
    run("umoci", "repack", "--image", f"{layout}:2", bundle)
    run("umoci", "config", "--image", f"{layout}:2", "--config.label", "made.with=umoci")
    run("skopeo", "copy", f"oci:{layout}:2", f"docker://{REGISTRY}/umoci:2")
    told = json.loads(run("skopeo", "inspect", f"docker://{REGISTRY}/umoci:2"))
    assert told["Labels"]["made.with"] == "umoci", told
    assert len(told["Layers"]) == 2, told
    # What it wrote before is there still, and can be deleted.
    run("skopeo", "delete", f"oci:{layout}:1")
    run("umoci", "gc", "--layout", layout)
    assert "2" in run("umoci", "list", "--layout", layout).split()


def buildah():
    """The tutorials of buildah: an image is built from scratch; skopeo copies it out of the store."""
    container = run("buildah", "from", "scratch").strip()
    run("buildah", "copy", container, os.path.join(FOLDER, "made", "oci-layout"), "/oci-layout")
    run("buildah", "config", "--label", "made.with=buildah", container)
    run("buildah", "commit", "--quiet", container, "localhost/scratch:1")
    run("buildah", "rm", container)
    told = json.loads(run("skopeo", "inspect", "containers-storage:localhost/scratch:1"))
    assert told["Labels"]["made.with"] == "buildah", told
    run("skopeo", "copy", "containers-storage:localhost/scratch:1", f"docker://{REGISTRY}/scratch:1")
    assert run("skopeo", "list-tags", f"docker://{REGISTRY}/scratch").count('"1"') == 1


def podman():
    """The tutorial of podman and skopeo: into the store and out of it, and an archive of both."""
    store = "containers-storage:localhost/app:1"
    run("skopeo", "copy", f"docker://{REGISTRY}/app:1", store)
    assert "localhost/app" in run("podman", "images", "--format", "{{.Repository}}")
    archive = os.path.join(FOLDER, "podman.tar")
    run("podman", "save", "--quiet", "--format", "oci-archive", "--output", archive, "localhost/app:1")
    run("skopeo", "copy", f"oci-archive:{archive}", f"docker://{REGISTRY}/saved:1")
    other = os.path.join(FOLDER, "skopeo.tar")
    run("skopeo", "copy", f"docker://{REGISTRY}/saved:1", f"docker-archive:{other}:localhost/loaded:1")
    run("podman", "load", "--quiet", "--input", other)
    assert "localhost/loaded" in run("podman", "images", "--format", "{{.Repository}}")
    run("skopeo", "delete", store)
    assert "localhost/app" not in run("podman", "images", "--format", "{{.Repository}}")


def jsonschema():
    """What the program prints is what docs/schemas says."""
    from jsonschema import Draft202012Validator

    def valid(name, document):
        with open(os.path.join(SCHEMAS, f"{name}.schema.json"), encoding="utf-8") as file:
            schema = json.load(file)
        Draft202012Validator.check_schema(schema)
        Draft202012Validator(schema).validate(document)

    def skopeo(*words):
        return subprocess.run(["skopeo", *words], capture_output=True, text=True)

    app, other = f"docker://{REGISTRY}/app:1", f"docker://{REGISTRY}/schemas:1"
    copied = skopeo("copy", "--output", "json", "--progress", "json", app, other)
    valid("output", json.loads(copied.stdout))
    events = [json.loads(line) for line in copied.stderr.splitlines() if line.startswith("{")]
    assert len(events) > 3, copied.stderr
    for event in events:
        valid("progress", event)
    report, lock = os.path.join(FOLDER, "report.json"), os.path.join(FOLDER, "lock.json")
    sync = ["sync", "--src", "docker", "--dest", "docker", "--output", "json"]
    places = [f"{REGISTRY}/app", f"{REGISTRY}/mirror"]
    planned = skopeo(*sync, "--dry-run", "--delete", "--max-delete", "10%", *places)
    valid("output", json.loads(planned.stdout))
    valid("output", json.loads(skopeo(*sync, "--report", report, "--lock", lock, *places).stdout))
    for name in ("report", "lock"):
        with open(os.path.join(FOLDER, f"{name}.json"), encoding="utf-8") as file:
            valid(name, json.load(file))
    valid("inspect", json.loads(skopeo("inspect", app).stdout))
    valid("referrers", json.loads(skopeo("inspect", "--referrers", app).stdout))
    valid("list-tags", json.loads(skopeo("list-tags", f"docker://{REGISTRY}/app").stdout))
    valid("list-tags", json.loads(skopeo("list-tags", "--details", f"docker://{REGISTRY}/app").stdout))
    valid("policy-check", json.loads(skopeo("policy", "check", "--output", "json", app).stdout))
    failed = skopeo("inspect", "--error-format", "json", f"docker://{REGISTRY}/app:none")
    valid("error", json.loads(failed.stderr.splitlines()[-1]))
    valid("output", json.loads(skopeo("delete", "--output", "json", other).stdout))
    for command in (["logout"], ["login", "--username", "me", "--password", "secret"]):
        valid("output", json.loads(skopeo(*command, "--output", "json", REGISTRY).stdout))


for program in (olot, kiwi, pubtools_quay, umoci, buildah, podman, jsonschema):
    name = program.__name__
    if name in ("umoci", "buildah", "podman") and (not shutil.which(name) or os.geteuid() != 0):
        print(f"SKIPPED: {name} takes root, and {name} itself (Debian has it)")
        continue
    program()
    print(f"works: {name}")
