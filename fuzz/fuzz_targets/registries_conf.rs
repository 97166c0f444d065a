//! registries.conf is read or refused; what is read answers for every reference.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use skopeo_config::Registries;
use skopeo_image::Reference;

fuzz_target!(|text: &str| {
    let Ok(registries) = Registries::parse(text, Path::new("registries.conf")) else { return };
    for name in ["busybox", "h.io/ns/x:1", "a.b.h.io:5000/x"] {
        let reference = Reference::parse_normalized(name).expect("valid");
        if let Ok(endpoints) = registries.endpoints(&reference) {
            assert!(!endpoints.is_empty());
            for endpoint in &endpoints {
                assert_eq!(endpoint.reference.tag, reference.tag);
                let place = endpoint.reference.name.to_string();
                assert!(!registries.find(&place).is_some_and(|entry| entry.blocked), "{place}");
            }
        }
        let _ = registries.primary(&reference);
    }
});
