//! What fuzzing needs and nobody else.

use crate::records::{self, ContainerRecord, ImageRecord, LayerRecord};

/// Reads a list of `layers`, `images` or anything else, and writes it again.
///
/// # Errors
/// If it is no such list.
pub fn rewrite(of: &str, bytes: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let bytes = bytes.to_vec();
    match of {
        "layers" => records::encode(records::parse::<LayerRecord>(bytes)?.iter()),
        "images" => records::encode(records::parse::<ImageRecord>(bytes)?.iter()),
        _ => records::encode(records::parse::<ContainerRecord>(bytes)?.iter()),
    }
}
