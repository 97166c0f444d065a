//! policy.json is read or refused; nothing is admitted that has a requirement besides
//! `insecureAcceptAnything`.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skopeo_image::{PolicyScope, RawManifest};
use skopeo_trust::{Policy, policy::Requirement};

fuzz_target!(|data: &[u8]| {
    let Ok(policy) = Policy::parse(data, "policy.json") else { return };
    for (transport, identity) in [("docker", "h.io/x:1"), ("dir", "/a/b"), ("oci", "")] {
        let scope = PolicyScope {
            name: String::new(),
            transport,
            identity: identity.to_owned(),
            namespaces: vec!["h.io".to_owned(), "*.io".to_owned(), "/a".to_owned()],
            reference: None,
        };
        let requirements = policy.requirements(&scope);
        let anything = requirements.iter().all(|it| *it == Requirement::InsecureAcceptAnything);
        let admitted = policy.admit(&scope, RawManifest::new(None, Bytes::new()), &[]);
        assert_eq!(admitted.is_ok(), anything && !requirements.is_empty());
    }
});
