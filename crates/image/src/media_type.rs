//! Media types, and what each says about the bytes it names.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Compression;

/// What the type of an encrypted layer ends with.
const ENCRYPTED: &str = "+encrypted";

/// A media type as it stands in a manifest or header. Unknown ones are kept as they are.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct MediaType(Cow<'static, str>);

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl MediaType {
            $($(#[$doc])* pub const $name: Self = Self(Cow::Borrowed($text));)*
        }
    };
}

known! {
    /// OCI image manifest.
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    OCI_INDEX = "application/vnd.oci.image.index.v1+json";
    /// OCI image config.
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, plain tar.
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// OCI layer that need not be distributed, plain tar.
    OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    /// OCI layer that need not be distributed, gzip.
    OCI_FOREIGN_LAYER_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    /// OCI layer that need not be distributed, zstd.
    OCI_FOREIGN_LAYER_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
    /// The config of an artifact that has none.
    OCI_EMPTY = "application/vnd.oci.empty.v1+json";
    /// Docker schema 2 manifest.
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker schema 1 manifest without signatures.
    DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json";
    /// Docker schema 1 manifest with signatures.
    DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    /// Docker image config.
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, plain tar.
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, gzip.
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, zstd: never specified, but found.
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    /// Docker layer that lies elsewhere, plain tar.
    DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar";
    /// Docker layer that lies elsewhere, gzip.
    DOCKER_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
}

impl MediaType {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether there is no text, as in a schema 1 layer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether this names a list of manifests: an OCI index or a Docker manifest list.
    #[must_use]
    pub fn is_index(&self) -> bool {
        *self == Self::OCI_INDEX || *self == Self::DOCKER_LIST
    }

    /// Returns whether this names a layer that need not be distributed.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        [
            Self::OCI_FOREIGN_LAYER,
            Self::OCI_FOREIGN_LAYER_GZIP,
            Self::OCI_FOREIGN_LAYER_ZSTD,
            Self::DOCKER_FOREIGN_LAYER,
            Self::DOCKER_FOREIGN_LAYER_GZIP,
        ]
        .contains(self)
    }

    /// Returns the compression that a layer of this type is declared to have; `None` for other
    /// types.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        let is = |types: &[Self]| types.contains(self);
        if is(&[
            Self::OCI_LAYER,
            Self::OCI_FOREIGN_LAYER,
            Self::DOCKER_LAYER,
            Self::DOCKER_FOREIGN_LAYER,
        ]) {
            Some(Compression::Uncompressed)
        } else if is(&[
            Self::OCI_LAYER_GZIP,
            Self::OCI_FOREIGN_LAYER_GZIP,
            Self::DOCKER_LAYER_GZIP,
            Self::DOCKER_FOREIGN_LAYER_GZIP,
        ]) {
            Some(Compression::Gzip)
        } else if is(&[Self::OCI_LAYER_ZSTD, Self::OCI_FOREIGN_LAYER_ZSTD, Self::DOCKER_LAYER_ZSTD])
        {
            Some(Compression::Zstd)
        } else {
            None
        }
    }

    /// Returns whether this names what is certainly no manifest: a layer, a config, or what
    /// BuildKit notes of a build cache.
    #[must_use]
    pub fn is_blob(&self) -> bool {
        const KINDS: [&str; 6] = [
            "application/vnd.oci.image.layer.",
            "application/vnd.oci.image.config.",
            "application/vnd.oci.empty.",
            "application/vnd.docker.image.rootfs.",
            "application/vnd.docker.container.image.",
            "application/vnd.buildkit.cacheconfig.",
        ];
        KINDS.iter().any(|kind| self.as_str().starts_with(kind))
    }

    /// Returns whether this names a manifest of a known kind.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        self.is_index()
            || self.is_schema1()
            || *self == Self::OCI_MANIFEST
            || *self == Self::DOCKER_MANIFEST
    }

    /// Returns whether this names something encrypted, as OCI image encryption has it.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.as_str().ends_with(ENCRYPTED)
    }

    /// Returns the type of such a layer when it is encrypted; `None` if it is already, or if what
    /// it names is no layer.
    #[must_use]
    pub fn encrypted(&self) -> Option<Self> {
        [
            Self::OCI_LAYER,
            Self::OCI_LAYER_GZIP,
            Self::OCI_LAYER_ZSTD,
            Self::OCI_FOREIGN_LAYER,
            Self::OCI_FOREIGN_LAYER_GZIP,
            Self::OCI_FOREIGN_LAYER_ZSTD,
        ]
        .contains(self)
        .then(|| format!("{self}{ENCRYPTED}").into())
    }

    /// Returns the type of such a layer when it is decrypted; `None` if it is not encrypted.
    #[must_use]
    pub fn decrypted(&self) -> Option<Self> {
        self.as_str().strip_suffix(ENCRYPTED).map(Self::from)
    }

    /// Returns whether this names something that is certainly no tar, packed or not. Of a type that says
    /// nothing of the form of its bytes, only the bytes tell.
    #[must_use]
    pub fn excludes_tar(&self) -> bool {
        const OTHER_KINDS: [&str; 6] = ["text/", "image/", "audio/", "video/", "font/", "model/"];
        const OTHER_FORMS: [&str; 10] =
            ["json", "jsonl", "xml", "yaml", "toml", "cbor", "zip", "wasm", "squashfs", "erofs"];
        let name = self.as_str().to_ascii_lowercase();
        let words = || name.split(|it: char| !it.is_ascii_alphanumeric());
        let is_tar = words().any(|word| word == "tar");
        let is_other = OTHER_KINDS.iter().any(|kind| name.starts_with(kind))
            || words().any(|word| OTHER_FORMS.contains(&word));
        self.is_encrypted() || (is_other && !is_tar)
    }

    /// Returns whether this names either form of Docker schema 1.
    #[must_use]
    pub fn is_schema1(&self) -> bool {
        *self == Self::DOCKER_SCHEMA1 || *self == Self::DOCKER_SCHEMA1_SIGNED
    }
}

impl From<String> for MediaType {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self(Cow::Owned(text.to_owned()))
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
