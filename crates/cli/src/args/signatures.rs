//! The commands about signatures in files, and the deprecated ones.

use super::command::Command;
use super::flag::{Flag, Offers};
use super::handle::{Handle, Prefix};
use super::image;
use super::names;

fn file(flag: Handle<String>, usage: &'static str) -> Flag {
    Flag::new(flag, usage).offers(Offers::Files)
}

pub(super) fn generate_sigstore_key() -> Command {
    Command::new(
        "generate-sigstore-key",
        "[command options] --output-prefix PREFIX",
        "Create a key pair for sigstore signatures",
    )
    .long(
        "Creates a private key in PREFIX.private, encrypted with a pass phrase, and its public key \
         in PREFIX.pub.\nNeither file may exist. cosign can use both keys.",
    )
    .examples(&[
        "skopeo generate-sigstore-key --output-prefix mykey",
        "skopeo copy --sign-by-sigstore-private-key mykey.private oci:./folder:alpine docker://registry.example.com/alpine:latest",
    ])
    .flags([
        file(names::OUTPUT_PREFIX, "write the keys to PREFIX.pub and PREFIX.private")
            .placeholder("PREFIX"),
        file(names::PASSPHRASE_FILE, "file with the pass phrase for the private key; its first line")
            .placeholder("PATH"),
    ])
}

pub(super) fn standalone_sign() -> Command {
    Command::new(
        "standalone-sign",
        "[command options] MANIFEST DOCKER-REFERENCE KEY-FINGERPRINT --output|-o SIGNATURE",
        "Sign a manifest in a file",
    )
    .long(
        "Signs the manifest in the file MANIFEST as the image DOCKER-REFERENCE, with the GPG key \
         KEY-FINGERPRINT,\nand writes the signature to the file SIGNATURE.",
    )
    .examples(&[
        "skopeo standalone-sign manifest.json registry.example.com/alpine:latest 1D8230F6CDB6A06716E414C1DB72F2188BB46CC8 -o signature",
    ])
    .offers(Offers::Files)
    .flags([
        file(names::OUTPUT, "write the signature to this file").short('o').placeholder("SIGNATURE"),
        file(names::PASSPHRASE_FILE, "file with the pass phrase of the key; its first line")
            .placeholder("PATH"),
    ])
}

pub(super) fn standalone_verify() -> Command {
    Command::new(
        "standalone-verify",
        "[command options] MANIFEST DOCKER-REFERENCE KEY-FINGERPRINTS SIGNATURE",
        "Verify the signature of a manifest; both are files",
    )
    .long(
        "Checks that the file SIGNATURE is a signature of the manifest in the file MANIFEST as the \
         image DOCKER-REFERENCE,\nby one of the GPG keys KEY-FINGERPRINTS: whole fingerprints in \
         capitals, separated by commas, or \"any\" for\nevery key of --public-key-file. Without \
         --public-key-file, the keys are in the user's keyring.",
    )
    .examples(&[
        "skopeo standalone-verify manifest.json registry.example.com/alpine:latest 1D8230F6CDB6A06716E414C1DB72F2188BB46CC8 signature",
    ])
    .offers(Offers::Files)
    .flags([file(names::PUBLIC_KEY_FILE, "file with the public keys to accept; no other keys are accepted").placeholder("FILE")])
}

pub(super) fn dump() -> Command {
    let name = "untrusted-signature-dump-without-verification";
    Command {
        visible: false,
        ..Command::new(name, "SIGNATURE", "Print the contents of a signature without verifying it")
    }
    .offers(Offers::Files)
}

pub(super) fn layers(authfile: Option<String>) -> Command {
    let short = "Write layers of an image to a new folder (deprecated: use copy)";
    Command {
        visible: false,
        ..Command::new("layers", "[command options] IMAGE-NAME [LAYER...]", short)
    }
    .offers(Offers::Images)
    .flags([image::shared(authfile)])
    .flags(image::image(Prefix::None, None))
    .flags(image::retry())
}
