//! What can be asked of a transport, one struct for each; read by exactly one folder.

use std::path::PathBuf;

/// The options of one side of a copy.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Of `oci:`.
    pub layout: LayoutOptions,
    /// Of `dir:`.
    pub dir: DirOptions,
}

/// Options of layouts.
#[derive(Clone, Debug, Default)]
pub struct LayoutOptions {
    /// Where blobs lie instead of in the layout's own `blobs` folder.
    pub shared_blob_dir: Option<PathBuf>,
    /// Whether plain tars may stay plain; otherwise they are compressed.
    pub accept_uncompressed_layers: bool,
}

/// Options of `dir:` destinations. Both at once are refused.
#[derive(Clone, Debug, Default)]
pub struct DirOptions {
    /// Plain tars become gzip.
    pub compress: bool,
    /// Layers become plain tars.
    pub decompress: bool,
}
