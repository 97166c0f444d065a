//! Flags of `copy`.

use std::path::PathBuf;

use skopeo_image::Secret;

use super::command::Command;
use super::flag::{Flag, Offers};
use super::handle::Prefix;
use super::names;
use super::value::Values;
use super::{image, limits, lists, report, signing};

pub(crate) fn command(authfile: Option<String>, transports: &str) -> Command {
    Command::new(
        "copy",
        "[command options] SOURCE-IMAGE DESTINATION-IMAGE",
        "Copy an image from a source to a destination",
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
    .flags([Flag::new(names::TLS_VERIFY,  "require HTTPS on both sides").hidden()])
    .flags(image::image(Prefix::Source, Some(names::SCREDS)))
    .flags(image::image(Prefix::Destination, Some(names::DCREDS)))
    .flags(destination())
    .flags(image::retry())
    .flags(shared())
    .flags(lists::multi_arch())
    .flags(limits::flags())
    .flags([
        Flag::new(names::ADDITIONAL_TAG,  "more tags for the image (docker-archive: only)"),
        Flag::new(names::QUIET,  "do not print the progress").short('q'),
        report::progress(),
        report::output(),
        lists::all(),
        referrers(),
        signing::identity(),
        Flag::new(names::DIGESTFILE,  "write the digest of the written manifest to this file")
            .offers(Offers::Files),
        Flag::new(names::ENCRYPTION_KEY,
            "encrypt layers for PROTOCOL:RECIPIENT (jwe:PUBLIC-KEY, pgp:NAME, pkcs7:CERTIFICATE, or provider:NAME[:PARAMETER])",
        )
        .placeholder("PROTOCOL:RECIPIENT"),
        Flag::new(names::ENCRYPT_LAYER,
            "encrypt only the layer with this INDEX; 0 is the lowest layer, -1 the topmost",
        )
        .placeholder("INDEX"),
        Flag::new(names::DECRYPTION_KEY,
            "decrypt layers with KEY[:PASSPHRASE] (files of keys, certificates or GPG secret keys; pass=, file= or fd= before the passphrase) or provider:NAME",
        )
        .placeholder("KEY[:PASSPHRASE]")
        .offers(Offers::Files),
        Flag::new(names::IMAGE_PARALLEL_COPIES,
            "number of layers to copy at once; 0 lets the source and the destination decide",
        ),
    ])
}

fn destination() -> [Flag; 7] {
    [
        Flag::new(
            names::DEST_COMPRESS,
            "compress layers that are plain tars, keep others packed (dir: and docker-archive: only)",
        ),
        Flag::new(names::DEST_DECOMPRESS, "store layers as plain tars (dir: only)"),
        Flag::new(
            names::DEST_OCI_ACCEPT_UNCOMPRESSED_LAYERS,
            "keep layers that are plain tars as they are (oci: and oci-archive: only)",
        ),
        Flag::new(
            names::DEST_COMPRESS_FORMAT,
            "compress layers with FORMAT (gzip, zstd or zstd:chunked)",
        )
        .placeholder("FORMAT")
        .offers(Offers::Words(&["gzip", "zstd", "zstd:chunked"])),
        Flag::new(names::DEST_COMPRESS_LEVEL, "compress layers with LEVEL").placeholder("LEVEL"),
        Flag::new(
            names::DEST_PRECOMPUTE_DIGESTS,
            "compute every digest before the upload, so that no layer is sent that the registry has",
        ),
        Flag::new(
            names::DEST_FORCE_COMPRESS_FORMAT,
            "do not keep or reuse layers in another format than --dest-compress-format",
        ),
    ]
}

/// `--referrers`.
pub(super) fn referrers() -> Flag {
    Flag::new(names::REFERRERS,
        "copy the referrers of the image too: all, or some of signature, attestation, sbom, artifact types",
    )
    .placeholder("[=TYPE,...]")
    .alone("all")
    .offers(Offers::Words(&["all", "signature", "attestation", "sbom"]))
}

/// Flags about images that `sync` takes too.
pub(super) fn shared() -> impl Iterator<Item = Flag> {
    signing::flags().into_iter().chain([
        Flag::new(names::REMOVE_SIGNATURES, "do not copy the signatures of the source"),
        Flag::new(
            names::REMOVE_LIST_SIGNATURES,
            "do not copy the signatures of an index, but copy those of its images",
        ),
        Flag::new(
            names::FORMAT,
            "write this type of manifest (oci, v2s1, or v2s2) instead of the source's",
        )
        .short('f')
        .offers(Offers::Words(&["oci", "v2s1", "v2s2"])),
        Flag::new(names::PRESERVE_DIGESTS, "fail if a digest would change"),
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
            remove_signatures: values.switch(names::REMOVE_SIGNATURES),
            remove_list_signatures: values.switch(names::REMOVE_LIST_SIGNATURES),
            format: values.maybe_text(names::FORMAT).map(str::to_owned),
            preserve_digests: values.switch(names::PRESERVE_DIGESTS),
        }
    }
}

/// What the flags of `copy` said, apart from the two images.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    pub(crate) additional_tags: Vec<String>,
    pub(crate) added: Vec<String>,
    /// Which referrers of the image are to be copied.
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
            additional_tags: values.texts(names::ADDITIONAL_TAG).to_vec(),
            added: values.texts(names::ADD_COMPRESSION).to_vec(),
            quiet: values.switch(names::QUIET),
            referrers: values
                .has(names::REFERRERS)
                .then(|| values.texts(names::REFERRERS).to_vec()),
            digestfile: values.text(names::DIGESTFILE).map(PathBuf::from),
            parallel: values.uint(names::IMAGE_PARALLEL_COPIES).unwrap_or_default(),
            asked: Asked::new(values),
            compress: values.switch(names::DEST_COMPRESS),
            decompress: values.switch(names::DEST_DECOMPRESS),
            accept_uncompressed: values.switch(names::DEST_OCI_ACCEPT_UNCOMPRESSED_LAYERS),
            compress_format: values.text(names::DEST_COMPRESS_FORMAT).map(str::to_owned),
            compress_level: values.int(names::DEST_COMPRESS_LEVEL),
            force_compress_format: values.switch(names::DEST_FORCE_COMPRESS_FORMAT),
            precompute_digests: values.switch(names::DEST_PRECOMPUTE_DIGESTS),
            encryption_keys: values.texts(names::ENCRYPTION_KEY).to_vec(),
            encrypt_layers: values.ints(names::ENCRYPT_LAYER).to_vec(),
            decryption_keys: secrets(names::DECRYPTION_KEY),
            deprecated_tls_verify: values.has(names::TLS_VERIFY),
        }
    }
}
