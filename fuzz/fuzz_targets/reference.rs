//! A reference that parses prints as one that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skopeo_image::Reference;

fuzz_target!(|text: &str| {
    let Ok(reference) = Reference::parse_normalized(text) else { return };
    let full = reference.to_string();
    assert_eq!(Reference::parse_canonical(&full).as_ref(), Ok(&reference), "{full}");
    // As in the original, `docker.io/a.b/x` is shown as `a.b/x`, which is another reference.
    let first = reference.name.path().split('/').next().unwrap_or_default();
    if reference.name.domain() != "docker.io" || !(first.contains('.') || first == "localhost") {
        let familiar = reference.familiar();
        assert_eq!(Reference::parse_normalized(&familiar).as_ref(), Ok(&reference), "{familiar}");
    }
    assert!(!reference.name.path().contains(".."));
    let latest = reference.or_latest();
    assert!(!latest.is_name_only());
});
