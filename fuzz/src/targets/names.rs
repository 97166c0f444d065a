//! Values: names, versions, platforms, manifests, JSON.

use bytes::Bytes;
use serde_json::Value;
use skopeo_image::manifest::Manifest;
use skopeo_image::{
    Constraint, Digest, ImageConfig, Platform, PlatformFilter, RawManifest, Reference, Version,
    go_json, wanted_platforms,
};
use skopeo_transport::ImageName;

/// A reference that parses prints as one that parses to the same.
pub(super) fn reference(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(reference) = Reference::parse_normalized(text) else { return };
    let full = reference.to_string();
    assert_eq!(Reference::parse_canonical(&full).as_ref(), Ok(&reference), "{full}");
    // As in the original, `docker.io/a.b/x` is shown as `a.b/x`, which is another reference, and a
    // name of 64 hexadecimal digits as these alone, which is refused.
    let path = reference.name.path();
    let first = path.split('/').next().unwrap_or_default();
    let short = path.strip_prefix("library/").unwrap_or(path);
    let is_identifier = short.len() == 64 && short.bytes().all(|byte| byte.is_ascii_hexdigit());
    let changes = first.contains('.') || first == "localhost" || is_identifier;
    if reference.name.domain() != "docker.io" || !changes {
        let familiar = reference.familiar();
        assert_eq!(Reference::parse_normalized(&familiar).as_ref(), Ok(&reference), "{familiar}");
    }
    assert!(!reference.name.path().contains(".."));
    let latest = reference.or_latest();
    assert!(!latest.is_name_only());
}

/// A name in a store of podman is read or refused; what is read means the same when it is printed.
pub(super) fn storage_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    skopeo_transport::fuzzing::storage_name(text);
}

/// The name of an image in a bucket is read or refused; what is read means the same when it is
/// printed, and its policy scopes are places above it.
pub(super) fn bucket_name(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for scheme in ["s3", "gs", "az"] {
        let Ok(name) = ImageName::parse(&format!("oci:{scheme}://{text}")) else { continue };
        let printed = name.to_string();
        assert_eq!(ImageName::parse(&printed).as_ref().ok(), Some(&name), "{printed}");
        assert!(!printed.contains("/../") && !printed.contains(char::is_control), "{printed}");
        let scope = name.policy_scope();
        assert!(scope.namespaces.iter().all(|above| printed.contains(above.as_str())));
    }
}

/// A list of platforms, as `--multi-arch` has it, is read or refused; what is read prints as it was.
pub(super) fn platforms(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for text in text.split(',') {
        let Ok(filter) = text.parse::<PlatformFilter>() else { continue };
        assert_eq!(filter.to_string(), text);
        let parts: Vec<&str> = text.split('/').collect();
        let variant = parts.get(2).copied().unwrap_or_default();
        assert!(filter.matches(&Platform::new(parts[0], parts[1], variant)));
        let host = Platform::new("linux", "arm", "v7");
        let wanted = wanted_platforms(Some(parts[0]), Some(parts[1]), Some(variant), &host);
        assert!(wanted.iter().any(|it| it.variant == variant));
    }
}

/// A range of versions is read or refused, and what it allows does not depend on build metadata.
pub(super) fn constraint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (range, version) = text.split_once('\n').unwrap_or((text, "1.2.3-rc.1"));
    let versions = [version, "0", "1.2.3", "v2.0.0-alpha", "18446744073709551615.0.0"];
    let versions: Vec<Version> = versions.iter().filter_map(|text| Version::parse(text)).collect();
    for a in &versions {
        for b in &versions {
            assert_eq!(a.cmp(b), b.cmp(a).reverse(), "{a:?} {b:?}");
        }
        let Version { major, minor, patch, pre } = a;
        let hyphen = if pre.is_empty() { "" } else { "-" };
        let again = format!("{major}.{minor}.{patch}{hyphen}{pre}+build.7");
        assert_eq!(Version::parse(&again).as_ref(), Some(a), "{again}");
    }
    let Ok(constraint) = Constraint::parse(range) else { return };
    for version in &versions {
        let allows = constraint.allows(version);
        let either = Constraint::parse(&format!("{range}||{range}")).expect("twice the same");
        assert_eq!(either.allows(version), allows, "{range:?} {version:?}");
    }
}

/// Whatever a registry sends as a manifest or a config is read or refused, and nothing else happens.
pub(super) fn manifest(data: &[u8]) {
    let raw = RawManifest::new(None, Bytes::copy_from_slice(data));
    if let Ok(digest) = raw.digest() {
        assert_eq!(raw.has_digest(&digest).ok(), Some(true));
    }
    let _ = raw.has_digest(&Digest::sha256(b""));
    match raw.parse() {
        Ok(Manifest::Image(image)) => {
            let _ = (image.config(), image.layers(), image.is_artifact(), image.media_type());
        }
        Ok(Manifest::Index(list)) => {
            let _ = (list.instances(), list.choose(&[]));
            let again = list.encode();
            assert!(again.parse().is_ok());
        }
        Err(_) => {}
    }
    if let Ok(config) = ImageConfig::parse(data) {
        let text = go_json::to_vec(&config).expect("what was read can be written");
        assert!(ImageConfig::parse(&text).is_ok());
    }
}

/// Our JSON, beside that of `serde_json`: what we write says the same to both.
pub(super) fn go_json(data: &[u8]) {
    let _ = go_json::from_slice::<Value>(data);
    let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
    let written = go_json::to_vec(&value).expect("a value can be written");
    assert!(std::str::from_utf8(&written).is_ok());
    // Beyond their depth they do not read what they wrote themselves.
    let read: [Result<Value, _>; 2] =
        [serde_json::from_slice(&written), go_json::from_slice(&written)];
    for again in read.into_iter().flatten() {
        assert!(is_same(&again, &value), "{again:?} {value:?}");
    }
}

/// Whether two values are the same, where `2.0` is `2`, as in Go.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let is_in_b = |(key, a)| b.get(key).is_some_and(|b| is_same(a, b));
            a.len() == b.len() && a.iter().all(is_in_b)
        }
        (a, b) => a == b,
    }
}
