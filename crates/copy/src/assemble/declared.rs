//! What will be known of layers when they have been transferred: pure.

use skopeo_image::{Compression, Digest};

use crate::item::{Crypted, Item, TransferredBlob, result_of};
use crate::plan::{self, Crypt, ImagePlan, Wanted};

/// Returns what a manifest would say of the layers. What the digests of those will be that are packed
/// anew is not known, and is of no matter for what is made.
pub(crate) fn layers_as_declared(image: &ImagePlan) -> Vec<TransferredBlob> {
    let one = |(at, layer): (usize, &_)| {
        let item = Item::layer(image, at, layer);
        let mut transferred = TransferredBlob::of_layer(layer);
        if item.wanted == Wanted::Elsewhere {
            return transferred;
        }
        transferred.recoded = !item.is_kept();
        if transferred.recoded {
            transferred.digest = Digest::sha256(layer.blob.digest.as_str().as_bytes());
        }
        transferred.crypted = match item.crypt {
            Crypt::Keep => Crypted::Keep,
            Crypt::Encrypt => Crypted::Encrypted(Default::default()),
            Crypt::Decrypt => Crypted::Decrypted,
        };
        let declared = match layer.blob.media_type.decrypted() {
            Some(decrypted) => decrypted.compression(),
            None => item.declared(),
        };
        transferred.compression = declared
            .map(|declared| result_of(plan::recode(declared, item.wanted), declared))
            .filter(|it| !matches!(it, Compression::Bzip2 | Compression::Xz))
            .filter(|_| item.wanted != Wanted::Opaque);
        transferred
    };
    image.layers.iter().enumerate().map(one).collect()
}
