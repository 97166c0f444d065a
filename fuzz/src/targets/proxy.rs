//! What clients of `experimental-image-proxy` say.

/// A packet is a request, or is refused in words that fit into a reply.
pub(super) fn request(data: &[u8]) {
    if let Err(words) = skopeo_cli::fuzzing::read_proxy_request(data) {
        assert!(!words.is_empty());
    }
}
