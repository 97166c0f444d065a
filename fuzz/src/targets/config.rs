//! Files of configuration.

use std::path::Path;

use bytes::Bytes;
use skopeo_config::auth::{self, AuthOptions};
use skopeo_config::{Config, Environment, Overrides, Registries, Storage, StoreSpec, TlsDetails};
use skopeo_image::{PolicyScope, RawManifest, Reference};
use skopeo_trust::{Policy, policy::Requirement};

use super::image::{nowhere, variables, with_file};

/// registries.conf is read or refused; what is read answers for every reference.
pub(super) fn registries_conf(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
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
}

/// storage.conf is read or refused; what is read is a store with absolute folders, or none.
pub(super) fn storage_conf(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let vars = [("XDG_RUNTIME_DIR", "/"), ("A", "/a"), ("B", "")];
    for uid in [0, 1000] {
        let environment = Environment::fixed(vars, nowhere(), uid, nowhere());
        let Ok(storage) = Storage::parse(text, Path::new("storage.conf"), &environment) else {
            continue;
        };
        if let Ok(store) = storage.store(None, &environment) {
            assert!(store.additional_stores.iter().all(|path| path.is_absolute()));
            assert_ne!(store.image_store.as_ref(), Some(&store.graph_root));
            // Reading it twice is reading it once.
            let again = storage.store(Some(&StoreSpec::default()), &environment);
            assert_eq!(again.expect("the same"), store);
        }
    }
}

/// Profiles of AWS and credentials of Google are read or refused; nothing that is secret is shown,
/// and no program is started.
pub(super) fn cloud_files(data: &[u8]) {
    with_file(data, |path| {
        let path = path.to_str().expect("a plain path");
        let vars = [
            ("AWS_CONFIG_FILE", path),
            ("AWS_SHARED_CREDENTIALS_FILE", path),
            ("AWS_PROFILE", "default"),
            ("GOOGLE_APPLICATION_CREDENTIALS", path),
        ];
        let environment = Environment::fixed(vars, nowhere(), 1000, nowhere());
        let config = Config::with_environment(Overrides::default(), environment);
        let Ok(found) = config.aws() else { return };
        let shown = format!("{found:?}");
        for (name, value) in &found.pairs {
            let is_secret = name.contains("secret") || name.contains("token");
            // A short one may be a part of a name.
            let value = value.reveal();
            assert!(!is_secret || value.len() < 12 || !shown.contains(value), "{shown}");
        }
        let _ = config.google();
    });
}

/// A file of registries.d is read or refused.
pub(super) fn registries_d(data: &[u8]) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    fs_err::write(folder.path().join("a.yaml"), data).expect("room for it");
    let overrides =
        Overrides { registries_d: Some(folder.path().to_owned()), ..Overrides::default() };
    let config = Config::with_environment(overrides, environment());
    let _ = config.signatures();
}

/// A kubeconfig is read or refused; no secret of it goes to plain http.
pub(super) fn kubeconfig(data: &[u8]) {
    let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let file = folder.path().join("config");
    fs_err::write(&file, data).expect("room for it");
    let environment = Environment::fixed([("KUBECONFIG", file)], nowhere(), 1000, nowhere());
    let config = Config::with_environment(Overrides::default(), environment);
    let Ok(api) = config.kube_api() else { return };
    assert!(api.server.username().is_empty() && api.server.password().is_none());
    assert!(api.token.is_none() || api.basic.is_none());
    if api.server.scheme() != "https" {
        assert!(api.token.is_none() && api.client_pair.is_none() && !api.insecure);
    }
}

fn environment() -> Environment {
    Environment::fixed(variables(), nowhere(), 1000, nowhere())
}

/// policy.json is read or refused; nothing is admitted that has a requirement besides
/// `insecureAcceptAnything`.
pub(super) fn policy(data: &[u8]) {
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
}

/// auth.json is read or refused. No helper is started: there is none on the path.
pub(super) fn auth_json(data: &[u8]) {
    with_file(data, |path| {
        let config = Config::with_environment(Overrides::default(), environment());
        let options = AuthOptions { authfile: Some(path.to_owned()), ..AuthOptions::default() };
        for key in ["h.io", "h.io/ns/x", "docker.io/library/x", "a.b:5000/c"] {
            let _ = auth::find(&config, &options, key);
        }
    });
}

/// The file of `--tls-details` is read or refused.
pub(super) fn tls_details(data: &[u8]) {
    with_file(data, |path| {
        let _ = TlsDetails::load(path);
    });
}
