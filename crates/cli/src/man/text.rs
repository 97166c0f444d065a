//! What the manual says that is in no table.

pub(super) const DESCRIPTION: &str = "\
skopeo inspects, copies, mirrors (sync), deletes and serves container images and lists their tags, without a daemon \
and without unpacking anything.";

pub(super) const IMAGE_NAMES: &str = "\
An image is named by a transport and what belongs to it.

docker://[HOST/]REPOSITORY[:TAG][@DIGEST]: an image in a registry. Without a host it is docker.io, \
without tag and digest it is latest. With both, the digest says which image it is, and the tag what it \
is called.

dir:PATH: an image in a folder of its own, a file for each blob.

oci:PATH[:REFERENCE] or oci:PATH:@INDEX: an image in a folder that is an OCI layout.

oci:s3://BUCKET/PREFIX[:REFERENCE], oci:gs://BUCKET/PREFIX[:REFERENCE] or \
oci:az://ACCOUNT/CONTAINER/PREFIX[:REFERENCE]: an image in an object store that holds an OCI layout.

oci-archive:PATH[:REFERENCE] or oci-archive:PATH:@INDEX: an image in a tar of an OCI layout.

docker-archive:PATH[:NAME:TAG] or docker-archive:PATH:@INDEX: an image in a tar as `docker save` writes it.

docker-daemon:NAME:TAG, docker-daemon:NAME@DIGEST or docker-daemon:sha256:ID: an image that a Docker \
daemon has; to be written, it needs a tag.

containers-storage:NAME[:TAG], containers-storage:@ID or either with [DRIVER@GRAPHROOT+RUNROOT] in front: an \
image in the store of podman, buildah and CRI-O on this machine.

sif:PATH: the root file system in a SIF file of Apptainer or Singularity. Only for reading.

tarball:FILE[:FILE...]: an image made up of tars, packed or not, root layer first; - is standard input. \
Only for reading.";

pub(super) const YAML: &str = "\
A file of version 1 names registries, and what to copy from each: images with the tags that are wanted (none means \
all), with a regular expression for tags, or with a range of versions.";

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
A file of version 2 says for each image where it goes, too. docs/sync.md explains every key.";

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
    ("DOCKER_CONFIG", "Folder of Docker's config.json, whose credentials are read too."),
    (
        "DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY",
        "The Docker daemon of docker-daemon: and its certificates, where no flag names one.",
    ),
    (
        "KUBECONFIG, KUBERNETES_MASTER",
        "Where and as whom OpenShift's API is asked, for names such as atomic:HOST/NAMESPACE/STREAM:TAG.",
    ),
    ("XDG_RUNTIME_DIR, XDG_CONFIG_HOME", "Where auth.json and the user's configuration lie."),
    (
        "CONTAINERS_REGISTRIES_CONF, CONTAINERS_POLICY_JSON",
        "Files to read instead of registries.conf and policy.json.",
    ),
    ("GNUPGHOME", "Folder of the keyring that --encryption-key pgp:NAME looks into."),
    (
        "OCICRYPT_KEYPROVIDER_CONFIG",
        "File with the key providers of --encryption-key and --decryption-key provider:NAME.",
    ),
    ("HTTP_PROXY, HTTPS_PROXY, NO_PROXY", "Proxies for registries; in lower case too."),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "Certificates to trust instead of the system's."),
];

pub(super) const EXIT: &[(u8, &str)] = &[
    (0, "Done."),
    (
        1,
        "Something failed; stderr says what, and in a line of its own what to do about it, where that is known.",
    ),
    (2, "The image does not exist."),
];
