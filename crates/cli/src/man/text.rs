//! What the manual says that is in no table.

pub(super) const DESCRIPTION: &str = "\
skopeo inspects, copies, mirrors (sync), deletes and serves container images and lists their tags. It needs no \
daemon.";

pub(super) const IMAGE_NAMES: &str = "\
The name of an image is a transport and its details.

docker://[HOST/]REPOSITORY[:TAG][@DIGEST]: an image in a registry. Without a host it is docker.io, \
without tag and digest it is latest. With both, the digest decides which image it is, and the tag is its \
name.

dir:PATH: an image in its own folder, with a file for each blob.

oci:PATH[:REFERENCE] or oci:PATH:@INDEX: an image in a folder that is an OCI layout.

oci:s3://BUCKET/PREFIX[:REFERENCE], oci:gs://BUCKET/PREFIX[:REFERENCE] or \
oci:az://ACCOUNT/CONTAINER/PREFIX[:REFERENCE]: an image in an object store that holds an OCI layout.

oci-archive:PATH[:REFERENCE] or oci-archive:PATH:@INDEX: an image in a tar of an OCI layout.

docker-archive:PATH[:NAME:TAG] or docker-archive:PATH:@INDEX: an image in a tar as `docker save` writes it.

docker-daemon:NAME:TAG, docker-daemon:NAME@DIGEST or docker-daemon:sha256:ID: an image of a Docker \
daemon; a destination needs a tag.

containers-storage:NAME[:TAG], containers-storage:@ID or either with [DRIVER@GRAPHROOT+RUNROOT] in front: an \
image in the store of podman, buildah and CRI-O on this machine.

sif:PATH: the root file system in a SIF file of Apptainer or Singularity. Only for reading.

tarball:FILE[:FILE...]: an image made from tars, compressed or not, the lowest layer first; - is standard input. \
Only for reading.";

pub(super) const YAML: &str = "\
A file of version 1 lists registries, and what to copy from each: images with a list of tags (an empty list means \
all), with a regular expression for tags, or with a version range.";

pub(super) const YAML_EXAMPLE: &str = "\
registry.example.com:
  images:
    busybox: []
    redis:
      - \"1.0\"
      - \"sha256:0000000000000000000000000000000011111111111111111111111111111111\"
  images-by-tag-regex:
    nginx: ^1\\.13\\.[12]-alpine-perl$
  images-by-semver:
    alpine: \">= 3.12.0\"
  credentials:
    username: john
    password: this is a secret
  tls-verify: true
  cert-dir: /home/john/certs";

pub(super) const YAML_2: &str = "\
A file of version 2 also has the destination of each image. docs/sync.md explains every key.";

pub(super) const YAML_2_EXAMPLE: &str = "\
version: 2
defaults:
  into: docker://registry.internal/mirror
  preserve-path: true
images:
  - from: docker://docker.io/library/nginx
    semver: \">=1.24\"
    newest: 3";

pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    ("REGISTRY_AUTH_FILE", "The default of --authfile."),
    ("DOCKER_CONFIG", "Folder of Docker's config.json; its credentials are read too."),
    (
        "DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY",
        "The Docker daemon of docker-daemon: and its certificates, if no flag names one.",
    ),
    (
        "KUBECONFIG, KUBERNETES_MASTER",
        "The address and user of OpenShift's API, for names such as atomic:HOST/NAMESPACE/STREAM:TAG.",
    ),
    (
        "XDG_RUNTIME_DIR, XDG_CONFIG_HOME",
        "The folders of auth.json and of the user's configuration.",
    ),
    (
        "CONTAINERS_REGISTRIES_CONF, CONTAINERS_POLICY_JSON",
        "Files to read instead of registries.conf and policy.json.",
    ),
    ("GNUPGHOME", "Folder of the keyring for --encryption-key pgp:NAME."),
    (
        "OCICRYPT_KEYPROVIDER_CONFIG",
        "File with the key providers of --encryption-key and --decryption-key provider:NAME.",
    ),
    ("HTTP_PROXY, HTTPS_PROXY, NO_PROXY", "Proxies for registries; also in lower case."),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "Trusted certificates instead of those of the system."),
];

pub(super) const EXIT: &[(u8, &str)] = &[
    (0, "Done."),
    (1, "An error; stderr has the reason, and often a hint on a line of its own."),
    (2, "The image does not exist."),
];
