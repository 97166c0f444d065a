//! How a registry is reached.

use super::*;

#[tokio::test]
async fn mirrors_come_first_and_all_are_named_when_all_fail() {
    let place = Place::docker().await;
    let mirror = Registry::start();
    let sample = Sample::new(1);
    let mirrored = ImageName::parse(&format!("docker://{}/m/repo:tag", mirror.host())).unwrap();
    sample.put(create(&mirrored, &place.options).await.unwrap()).await.unwrap();
    asked_of(&mirror);

    write_mirror(&place, &mirror);
    let host = place.registry().host();
    let mut options = crate::options::options(place.folder.path());
    options.registry.tls_verify = Some(false);
    let source = open(&place.name, &options).await.unwrap();
    assert_eq!(source.head().await.unwrap().map(|head| head.digest), Some(sample.digest()));
    sample.assert_in(&*source, &Which::Top).await;
    assert!(asked(&place).is_empty());
    assert!(!asked_of(&mirror).is_empty());

    let name = place.name("docker://{}/ns/other:tag");
    let source = open(&name, &options).await.unwrap();
    let error = source.manifest(&Which::Top).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("(Mirrors also failed: [{}/m/other:tag: reading", mirror.host())),
        "{text}"
    );
    assert!(text.ends_with(&format!("): {host}/ns/other:tag")), "{text}");
}

#[tokio::test]
async fn flags_for_the_registry_are_not_shown_to_mirrors() {
    let place = Place::docker().await;
    let mirror = Registry::start();
    write_mirror(&place, &mirror);
    let mut options = crate::options::options(place.folder.path());
    options.registry.tls_verify = Some(false);
    options.registry.registry_token = Some("secret".into());
    let source = open(&place.name, &options).await.unwrap();
    assert!(source.manifest(&Which::Top).await.is_err());
    assert!(!mirror.requests().is_empty());
    let shown = |registry: &Registry| -> Vec<String> {
        let all = registry.requests();
        all.iter().map(|seen| seen.header("authorization").to_owned()).collect()
    };
    assert!(shown(&mirror).iter().all(String::is_empty));
    assert_eq!(shown(place.registry()), ["Bearer secret"]);
}

#[tokio::test]
async fn nobody_is_nobody_to_mirrors_too() {
    let place = Place::docker().await;
    let mirror = Registry::builder().htpasswd("user", "right").start();
    write_mirror(&place, &mirror);
    let authfile = place.folder.path().join("auth.json");
    let auth = format!("{{\"{}\":{{\"auth\":\"dXNlcjpyaWdodA==\"}}}}", mirror.host());
    fs::write(&authfile, format!("{{\"auths\":{auth}}}")).unwrap();
    for no_creds in [false, true] {
        let mut options = crate::options::options(place.folder.path());
        options.registry.tls_verify = Some(false);
        options.registry.authfile = Some(authfile.clone());
        options.registry.no_creds = no_creds;
        let source = open(&place.name, &options).await.unwrap();
        assert!(source.manifest(&Which::Top).await.is_err());
        let shown = mirror.requests().iter().any(|seen| !seen.header("authorization").is_empty());
        assert_eq!(shown, !no_creds);
        mirror.forget_requests();
    }
}

fn write_mirror(place: &Place, mirror: &Registry) {
    let conf = place.folder.path().join("etc/containers");
    fs::create_dir_all(&conf).unwrap();
    let (host, mirror) = (place.registry().host(), mirror.host());
    let text = format!(
        "[[registry]]\nlocation = \"{host}/ns\"\n\
         [[registry.mirror]]\nlocation = \"{mirror}/m\"\n"
    );
    fs::write(conf.join("registries.conf"), text).unwrap();
}

#[tokio::test]
async fn certificates_come_from_flags_and_certs_d() {
    let registry = Registry::builder().tls().start();
    let (folder, sample) = (tempfile::tempdir().unwrap(), Sample::new(1));
    let name = ImageName::parse(&registry.docker("repo:tag")).unwrap();
    let flagged = folder.path().join("flagged");
    let found = folder.path().join("etc/containers/certs.d").join(registry.host());
    let try_with = async |change: &dyn Fn(&mut Options)| {
        let mut options = crate::options::options(folder.path());
        change(&mut options);
        sample.put(create(&name, &options).await.unwrap()).await
    };
    let error = try_with(&|_| {}).await.unwrap_err();
    assert!(error.hint().is_some(), "{error:?}");
    try_with(&|options| options.registry.tls_verify = Some(false)).await.unwrap();
    fs::create_dir_all(&flagged).unwrap();
    fs::write(flagged.join("ca.crt"), registry.ca()).unwrap();
    try_with(&|options| options.registry.cert_dir = Some(flagged.clone())).await.unwrap();
    fs::create_dir_all(found.parent().unwrap()).unwrap();
    fs::rename(&flagged, &found).unwrap();
    try_with(&|_| {}).await.unwrap();
}

#[tokio::test]
async fn credentials_come_from_flags_and_files() {
    let registry = Registry::builder().htpasswd("user", "right").start();
    let (folder, sample) = (tempfile::tempdir().unwrap(), Sample::new(1));
    let name = ImageName::parse(&registry.docker("ns/repo:tag")).unwrap();
    let try_with = async |change: &dyn Fn(&mut Options)| {
        let mut options = crate::options::options(folder.path());
        options.registry.tls_verify = Some(false);
        change(&mut options);
        sample.put(create(&name, &options).await.unwrap()).await
    };
    let basic = |password: &str| Credentials::Basic {
        username: "user".to_owned(),
        password: password.into(),
    };
    assert!(try_with(&|_| {}).await.is_err());
    assert!(
        try_with(&|options| options.registry.credentials = Some(basic("wrong"))).await.is_err()
    );
    try_with(&|options| options.registry.credentials = Some(basic("right"))).await.unwrap();

    let authfile = folder.path().join("auth.json");
    let text =
        format!("{{\"auths\":{{\"{}/ns\":{{\"auth\":\"dXNlcjpyaWdodA==\"}}}}}}", registry.host());
    fs::write(&authfile, text).unwrap();
    try_with(&|options| options.registry.authfile = Some(authfile.clone())).await.unwrap();
    let nobody = |options: &mut Options| {
        options.registry.authfile = Some(authfile.clone());
        options.registry.no_creds = true;
    };
    assert!(try_with(&nobody).await.is_err());
}
