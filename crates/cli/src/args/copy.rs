//! Flags of `copy`.

use std::path::PathBuf;

use skopeo_image::Secret;

use super::command::Command;
use super::flag::{Flag, Offers};
use super::kind::Kind;
use super::value::Values;
use super::{image, limits, lists, report, signing};

pub(crate) fn command(authfile: Option<String>, transports: &str) -> Command {
    Command::new(
        "copy",
        "[command options] SOURCE-IMAGE DESTINATION-IMAGE",
        "Copy an image from one place to another",
    )
    .long(format!(
        "Copies the image SOURCE-IMAGE to DESTINATION-IMAGE. Both are \"transport\":\"details\"; see \
         skopeo(1), section \"IMAGE NAMES\".\n\nSupported transports:\n{transports}"
    ))
    .examples(&[
        "skopeo copy docker://quay.io/skopeo/stable:latest docker://registry.example.com/skopeo:latest",
        "skopeo copy --all docker://docker.io/library/alpine:latest oci:./folder:alpine",
    ])
    .offers(Offers::Images)
    .flags([image::shared(authfile)])
    .flags([Flag::switch("tls-verify", "insist on HTTPS on both sides").hidden()])
    .flags(image::image("src-", Some("screds")))
    .flags(image::image("dest-", Some("dcreds")))
    .flags(destination())
    .flags(image::retry())
    .flags(shared())
    .flags(lists::multi_arch())
    .flags(limits::flags())
    .flags([
        Flag::new("additional-tag", Kind::Texts, "further tags (docker-archive: only)"),
        Flag::switch("quiet", "print nothing about the progress").short('q'),
        report::progress(),
        report::output(),
        lists::all(),
        referrers(),
        signing::identity(),
        Flag::text("digestfile", "file to write the digest of the written manifest to")
            .offers(Offers::Files),
        Flag::new(
            "encryption-key",
            Kind::Texts,
            "encrypt layers for PROTOCOL:RECIPIENT (jwe:PUBLIC-KEY, pgp:NAME, pkcs7:CERTIFICATE, or provider:NAME[:PARAMETER])",
        )
        .placeholder("PROTOCOL:RECIPIENT"),
        Flag::new(
            "encrypt-layer",
            Kind::Ints,
            "INDEX of a layer to encrypt instead of all; 0 is the lowest, -1 the topmost",
        )
        .placeholder("INDEX"),
        Flag::new(
            "decryption-key",
            Kind::Texts,
            "decrypt layers with KEY[:PASSPHRASE] (files of keys, certificates or GPG secret keys; pass=, file= or fd= before the passphrase) or provider:NAME",
        )
        .placeholder("KEY[:PASSPHRASE]")
        .offers(Offers::Files),
        Flag::new(
            "image-parallel-copies",
            Kind::Uint,
            "how many layers may be on their way at once; 0 leaves it to the places copied from and to",
        ),
    ])
}

fn destination() -> [Flag; 7] {
    [
        Flag::switch("dest-compress", "compress layers that are plain tars (dir: only)"),
        Flag::switch("dest-decompress", "store layers as plain tars (dir: only)"),
        Flag::switch(
            "dest-oci-accept-uncompressed-layers",
            "keep layers that are plain tars as they are (oci: and oci-archive: only)",
        ),
        Flag::text(
            "dest-compress-format",
            "FORMAT to compress layers with (gzip, zstd or zstd:chunked)",
        )
        .placeholder("FORMAT")
        .offers(Offers::Words(&["gzip", "zstd", "zstd:chunked"])),
        Flag::new("dest-compress-level", Kind::Int, "LEVEL to compress layers with")
            .placeholder("LEVEL"),
        Flag::switch(
            "dest-precompute-digests",
            "know every digest before uploading, to send no layer the registry has",
        ),
        Flag::switch(
            "dest-force-compress-format",
            "let no layer stay or be reused in another format than --dest-compress-format",
        ),
    ]
}

/// `--referrers`.
pub(super) fn referrers() -> Flag {
    Flag::new(
        "referrers",
        Kind::Texts,
        "copy what hangs on the image too: all, or some of signature, attestation, sbom, artifact types",
    )
    .placeholder("[=TYPE,...]")
    .alone("all")
    .offers(Offers::Words(&["all", "signature", "attestation", "sbom"]))
}

/// Flags about images that `sync` takes too.
pub(super) fn shared() -> impl Iterator<Item = Flag> {
    signing::flags().into_iter().chain([
        Flag::switch("remove-signatures", "leave the signatures of the source behind"),
        Flag::switch(
            "remove-list-signatures",
            "leave the signatures of a list behind, but not those of its images",
        ),
        Flag::text(
            "format",
            "type of manifest to write (oci, v2s1, or v2s2) instead of the source's",
        )
        .short('f')
        .offers(Offers::Words(&["oci", "v2s1", "v2s2"])),
        Flag::switch("preserve-digests", "fail rather than change a digest"),
    ])
}

/// What the flags that `copy` and `sync` share ask of each copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) remove_signatures: bool,
    pub(crate) remove_list_signatures: bool,
    pub(crate) format: Option<String>,
    pub(crate) preserve_digests: bool,
}

impl Asked {
    pub(crate) fn new(values: &Values) -> Self {
        Self {
            remove_signatures: values.switch("remove-signatures"),
            remove_list_signatures: values.switch("remove-list-signatures"),
            format: values.maybe_text("format").map(str::to_owned),
            preserve_digests: values.switch("preserve-digests"),
        }
    }
}

/// What the flags of `copy` said, apart from the two images.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) additional_tags: Vec<String>,
    pub(crate) added: Vec<String>,
    /// What of that which hangs on the image is to be copied.
    pub(crate) referrers: Option<Vec<String>>,
    /// Nobody wants to know what was left behind.
    pub(crate) quiet: bool,
    pub(crate) digestfile: Option<PathBuf>,
    pub(crate) parallel: u64,
    pub(crate) asked: Asked,
    pub(crate) compress: bool,
    pub(crate) decompress: bool,
    pub(crate) accept_uncompressed: bool,
    pub(crate) compress_format: Option<String>,
    pub(crate) compress_level: Option<i64>,
    pub(crate) force_compress_format: bool,
    pub(crate) precompute_digests: bool,
    pub(crate) encryption_keys: Vec<String>,
    pub(crate) encrypt_layers: Vec<i64>,
    /// Pass phrases may be in them.
    pub(crate) decryption_keys: Vec<Secret>,
    /// The deprecated `--tls-verify` for both sides was given.
    pub(crate) deprecated_tls_verify: bool,
}

impl Copy {
    pub(crate) fn new(values: &Values) -> Self {
        let secrets =
            |name| values.texts(name).iter().map(|text| Secret::from(text.as_str())).collect();
        Self {
            additional_tags: values.texts("additional-tag").to_vec(),
            added: values.texts("add-compression").to_vec(),
            quiet: values.switch("quiet"),
            referrers: values.has("referrers").then(|| values.texts("referrers").to_vec()),
            digestfile: values.text("digestfile").map(PathBuf::from),
            parallel: values.uint("image-parallel-copies").unwrap_or_default(),
            asked: Asked::new(values),
            compress: values.switch("dest-compress"),
            decompress: values.switch("dest-decompress"),
            accept_uncompressed: values.switch("dest-oci-accept-uncompressed-layers"),
            compress_format: values.text("dest-compress-format").map(str::to_owned),
            compress_level: values.int("dest-compress-level"),
            force_compress_format: values.switch("dest-force-compress-format"),
            precompute_digests: values.switch("dest-precompute-digests"),
            encryption_keys: values.texts("encryption-key").to_vec(),
            encrypt_layers: values.ints("encrypt-layer").to_vec(),
            decryption_keys: secrets("decryption-key"),
            deprecated_tls_verify: values.has("tls-verify"),
        }
    }
}
