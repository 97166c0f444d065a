//! Which scopes make sense for which transport.
//!
//! A scope that could never match is refused, so that a mistake does not leave images without the
//! requirements that were meant for them.

use skopeo_image::Digest;

/// Whether `scope` may stand under `transport`. Unknown transports may have any.
pub(super) fn is_valid(transport: &str, scope: &str) -> bool {
    match transport {
        "oci" if has_scheme(scope) => is_bucket(scope),
        "dir" | "oci" | "oci-archive" | "sif" => is_clean_path(scope),
        "docker-archive" | "tarball" => false,
        "docker-daemon" => scope.parse::<Digest>().is_err(),
        "containers-storage" => is_store(scope),
        "atomic" => is_stream(scope),
        _ => true,
    }
}

/// Absolute, not the root, and without `.`, `..`, doubled or trailing slashes.
fn is_clean_path(scope: &str) -> bool {
    let Some(rest) = scope.strip_prefix('/') else { return false };
    rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Whether it is a place in an object store.
fn has_scheme(scope: &str) -> bool {
    ["s3://", "gs://", "az://"].iter().any(|scheme| scope.starts_with(scheme))
}

/// `s3://bucket[/prefix]`, `gs://bucket[/prefix]` or `az://account/container[/prefix]`, without a
/// slash at the end.
fn is_bucket(scope: &str) -> bool {
    let Some((scheme, rest)) = scope.split_once("://") else { return false };
    let parts: Vec<&str> = rest.split('/').collect();
    let least = if scheme == "az" { 2 } else { 1 };
    parts.len() >= least && parts.iter().all(|part| !matches!(*part, "" | "." | ".."))
}

/// `[driver@/root]` or `[/root]`, then `name`, `name@digest`, `name@id` or `name@digest@id`.
fn is_store(scope: &str) -> bool {
    let Some((store, image)) = scope.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return false;
    };
    let store_is_fine = match store.split_once('@') {
        Some((driver, root)) => !driver.is_empty() && root.starts_with('/'),
        None => store.starts_with('/'),
    };
    let is_digest = |text: &str| text.parse::<Digest>().is_ok();
    let is_id = |text: &str| is_digest(&format!("sha256:{text}"));
    let parts: Vec<&str> = image.splitn(3, '@').collect();
    store_is_fine
        && match parts[..] {
            [_, one] => is_digest(one) || is_id(one),
            [_, digest, id] => is_digest(digest) && is_id(id),
            _ => true,
        }
}

/// `host[:port][/namespace[/stream[:tag]]]`.
fn is_stream(scope: &str) -> bool {
    match scope.split('/').collect::<Vec<_>>()[..] {
        [_] => true,
        [_, namespace] => !namespace.contains(':'),
        [_, namespace, stream] => {
            !namespace.contains(':') && stream.bytes().filter(|&b| b == b':').count() <= 1
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_that_could_never_match_are_refused() {
        let id = "0".repeat(64);
        for (transport, scope, valid) in [
            ("docker", "anything at all", true),
            ("unheard-of", "anything at all", true),
            ("dir", "/a/b", true),
            ("dir", "a/b", false),
            ("dir", "/", false),
            ("dir", "/a/", false),
            ("dir", "/a//b", false),
            ("dir", "/a/../b", false),
            ("oci", "/a/b:tag", true),
            ("oci", "a", false),
            ("oci", "s3://bucket", true),
            ("oci", "s3://bucket/a/b", true),
            ("oci", "s3://bucket/a/", false),
            ("oci", "s3://", false),
            ("oci", "az://account", false),
            ("oci", "az://account/container", true),
            ("dir", "s3://bucket", false),
            ("oci-archive", "/a.tar", true),
            ("sif", "/a/./b", false),
            ("docker-archive", "/a", false),
            ("tarball", "/a", false),
            ("docker-daemon", "busybox", true),
            ("docker-daemon", &format!("sha256:{id}"), false),
            ("containers-storage", "[overlay@/var/lib]", true),
            ("containers-storage", "[/var/lib]docker.io/library/x:1", true),
            ("containers-storage", &format!("[/var/lib]x@{id}"), true),
            ("containers-storage", &format!("[/var/lib]x@sha256:{id}@{id}"), true),
            ("containers-storage", "[/var/lib]x@nothing", false),
            ("containers-storage", "[overlay@var/lib]", false),
            ("containers-storage", "[@/var/lib]", false),
            ("containers-storage", "busybox", false),
            ("atomic", "h:5000/ns/stream:tag", true),
            ("atomic", "h:5000", true),
            ("atomic", "h/ns:x/stream", false),
            ("atomic", "h/ns/stream:a:b", false),
            ("atomic", "h/ns/stream/more", false),
        ] {
            assert_eq!(is_valid(transport, scope), valid, "{transport} {scope}");
        }
    }
}
