//! A list of platforms, as `--multi-arch` has it, is read or refused; what is read prints as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skopeo_image::{Platform, PlatformFilter, wanted_platforms};

fuzz_target!(|text: &str| {
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
});
