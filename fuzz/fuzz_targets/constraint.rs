//! A range of versions is read or refused, and what it allows does not depend on build metadata.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skopeo_image::{Constraint, Version};

fuzz_target!(|text: &str| {
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
});
