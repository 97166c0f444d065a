//! Sigstore signatures.

use super::*;

#[test]
fn sigstore_signatures() {
    let name = "example.com/app:1";
    let (pair, other, log, fake) = (Pair::new(), Pair::new(), Pair::new(), Pair::new());
    let (root, stranger) = (Authority::root("root"), Authority::root("stranger"));
    let middle = root.below("middle");
    let files = vec![
        ("key", pair.pem().into_bytes()),
        ("other", other.pem().into_bytes()),
        ("log", log.pem().into_bytes()),
        ("root", root.pem().into_bytes()),
        ("middle", middle.pem().into_bytes()),
        ("gpg", made("ed25519.pub")),
        ("certificate", root.pem().into_bytes()),
        ("text", b"text".to_vec()),
    ];
    let mut rows = Rows { files, table: String::new() };
    let good = cosigned(&pair, name);
    let payload = cosign_payload(name, &digest());
    let signature = pair.sign(payload.as_bytes());
    let signed =
        |payload: &str| attached(payload, &[(SIGNATURE, base64(&pair.sign(payload.as_bytes())))]);
    let key = r#"{"type":"sigstoreSigned","keyPath":"key"}"#;

    // Keys alone.
    rows.row("its own key", key, &[good.clone()]);
    rows.row("another key", &key.replace("key\"}", "other\"}"), &[good.clone()]);
    rows.row("no file", &key.replace("\"key\"", "\"missing\""), &[good.clone()]);
    for file in ["gpg", "certificate", "text"] {
        rows.row(
            &format!("a file of {file}"),
            &key.replace("\"key\"", &format!("{file:?}")),
            &[good.clone()],
        );
    }
    let paths = r#"{"type":"sigstoreSigned","keyPaths":["other","key"]}"#;
    rows.row("one of two keys", paths, &[good.clone()]);
    rows.row("none of two keys", paths, &[cosigned(&fake, name)]);
    rows.row("one key cannot be read", &paths.replace("other", "text"), &[good.clone()]);
    let data =
        format!(r#"{{"type":"sigstoreSigned","keyData":"{}"}}"#, base64(pair.pem().as_bytes()));
    rows.row("a key in the policy", &data, &[good.clone()]);
    rows.row("no signature", key, &[]);
    rows.row("a simple one only", key, &[simple(name)]);
    let attachment = skopeo_image::Signature::Sigstore {
        mime_type: "application/vnd.dsse.envelope.v1+json".to_owned(),
        payload: bytes::Bytes::new(),
        annotations: Default::default(),
    };
    rows.row("an attestation only", key, &[attachment.clone()]);
    rows.row("all kinds, one good", key, &[simple(name), attachment.clone(), good.clone()]);
    rows.row(
        "all kinds, none good",
        key,
        &[simple(name), attachment, cosigned(&fake, name), cosigned(&pair, "x")],
    );
    rows.row("no annotation", key, &[attached(&payload, &[])]);
    rows.row("no base64", key, &[attached(&payload, &[(SIGNATURE, "?".to_owned())])]);
    rows.row("no signature in it", key, &[attached(&payload, &[(SIGNATURE, base64(b"x"))])]);
    rows.row(
        "a signature of another payload",
        key,
        &[attached(&payload.replace("app:1", "app:2"), &[(SIGNATURE, base64(&signature))])],
    );
    for (label, from, to) in [
        ("another digest", digest(), format!("sha256:{}", "0".repeat(64))),
        ("another name", "app:1".to_owned(), "app:2".to_owned()),
        ("a bare name", "app:1".to_owned(), "app".to_owned()),
        (
            "the type of simple signing",
            "cosign container image".to_owned(),
            "atomic container".to_owned(),
        ),
        ("an unknown member", r#""type""#.to_owned(), r#""x":1,"type""#.to_owned()),
        (
            "nothing optional",
            r#"{"creator":"atomic 1","timestamp":1777593600}"#.to_owned(),
            "null".to_owned(),
        ),
    ] {
        rows.row(label, key, &[signed(&payload.replacen(&from, &to, 1))]);
    }

    // Keys with a log.
    let logged = r#"{"type":"sigstoreSigned","keyPath":"key","rekorPublicKeyPath":"log"}"#;
    let entry = body(&pair.pem(), &signature, &payload);
    let with = |promise: String| {
        attached(&payload, &[(SIGNATURE, base64(&signature)), (PROMISE, promise)])
    };
    rows.row("log: a good promise", logged, &[with(promise(&log, &entry, NOON))]);
    rows.row("log: none", logged, &[good.clone()]);
    rows.row("log: a promise nobody asked for", key, &[with("junk".to_owned())]);
    rows.row("log: of another log", logged, &[with(promise(&fake, &entry, NOON))]);
    rows.row("log: no JSON", logged, &[with("junk".to_owned())]);
    rows.row(
        "log: a key of another kind",
        &logged.replace("\"log\"", "\"gpg\""),
        &[with(promise(&log, &entry, NOON))],
    );
    rows.row(
        "log: one of two keys",
        &logged.replace(r#""keyPath":"key""#, r#""keyPaths":["other","key"]"#),
        &[with(promise(&log, &entry, NOON))],
    );
    rows.row(
        "log: none of two keys",
        &logged.replace(r#""keyPath":"key""#, r#""keyPaths":["other","other"]"#),
        &[with(promise(&log, &entry, NOON))],
    );
    for (label, body) in [
        ("of another signature", body(&pair.pem(), &pair.sign(payload.as_bytes()), &payload)),
        ("of another payload", body(&pair.pem(), &signature, "another")),
        ("of another key", body(&other.pem(), &signature, &payload)),
        ("of another kind", entry.replace("hashedrekord", "intoto")),
        ("of another version", entry.replace("0.0.1", "0.0.2")),
        ("without a version", entry.replace("apiVersion", "x")),
        ("by another hash", entry.replace(r#""sha256""#, r#""sha512""#)),
        ("without a hash", entry.replace("hash\"", "x\"")),
        ("without data", entry.replace("\"data\"", "\"x\"")),
        ("without a key", entry.replace("publicKey", "x")),
        ("with a key that is none", body("x", &signature, &payload)),
        ("with two keys", body(&format!("{}{}", pair.pem(), pair.pem()), &signature, &payload)),
        ("that is no JSON", "x".to_owned()),
    ] {
        rows.row(&format!("log: an entry {label}"), logged, &[with(promise(&log, &body, NOON))]);
    }
    for (label, from, to) in [
        ("of another time", NOON.to_string(), (NOON + 1).to_string()),
        ("with a member more", r#""logIndex""#.to_owned(), r#""x":1,"logIndex""#.to_owned()),
        (
            "with a member twice",
            r#""logIndex":7"#.to_owned(),
            r#""logIndex":7,"logIndex":7"#.to_owned(),
        ),
        ("with spaces", r#""logIndex":7"#.to_owned(), r#" "logIndex" : 7.0e0 "#.to_owned()),
        ("with a fraction", ":7".to_owned(), ":7.5".to_owned()),
        ("with an unknown member", r#"{"Signed"#.to_owned(), r#"{"x":1,"Signed"#.to_owned()),
        ("without payload", r#""Payload""#.to_owned(), r#""payload""#.to_owned()),
    ] {
        rows.row(
            &format!("log: a promise {label}"),
            logged,
            &[with(promise(&log, &entry, NOON).replacen(&from, &to, 1))],
        );
    }

    // Fulcio.
    let fulcio = r#"{"type":"sigstoreSigned","fulcio":{"caPath":"root","oidcIssuer":"https://issuer.example.com","subjectEmail":"dev@example.com"},"rekorPublicKeyPath":"log"}"#;
    let chain = format!("{}{}", middle.pem(), root.pem());
    let at = Some((&log, NOON));
    let shown = |by: &Certified| certified(by, &chain, at, name);
    let usual = middle.certify(|_| {});
    rows.row("fulcio: good", fulcio, &[shown(&usual)]);
    rows.row(
        "fulcio: right below the root",
        fulcio,
        &[certified(&root.certify(|_| {}), "", at, name)],
    );
    rows.row("fulcio: another name", fulcio, &[certified(&usual, &chain, at, "example.com/app:2")]);
    rows.row("fulcio: without the chain", fulcio, &[certified(&usual, "", at, name)]);
    rows.row(
        "fulcio: the chain without its root",
        fulcio,
        &[certified(&usual, &middle.pem(), at, name)],
    );
    rows.row(
        "fulcio: a chain with junk",
        fulcio,
        &[certified(&usual, &format!("{chain}junk"), at, name)],
    );
    rows.row("fulcio: no promise", fulcio, &[certified(&usual, &chain, None, name)]);
    rows.row(
        "fulcio: a promise of another log",
        fulcio,
        &[certified(&usual, &chain, Some((&fake, NOON)), name)],
    );
    rows.row(
        "fulcio: used the day before",
        fulcio,
        &[certified(&usual, &chain, Some((&log, NOON - 86400)), name)],
    );
    rows.row(
        "fulcio: used the day after",
        fulcio,
        &[certified(&usual, &chain, Some((&log, NOON + 86400)), name)],
    );
    rows.row(
        "fulcio: of a stranger",
        fulcio,
        &[certified(&stranger.certify(|_| {}), &stranger.pem(), at, name)],
    );
    rows.row("fulcio: a key alone", fulcio, &[with(promise(&log, &entry, NOON))]);
    let two = Certified { pem: format!("{}{}", usual.pem, usual.pem), pair: Pair::new() };
    rows.row("fulcio: two certificates", fulcio, &[shown(&two)]);
    let mixed = Certified { pem: usual.pem.clone(), pair: Pair::new() };
    rows.row("fulcio: signed by another key", fulcio, &[shown(&mixed)]);
    for (label, by) in [
        (
            "another address",
            middle.certify(|it| it.subject_alt_names = vec![mail("x@example.com")]),
        ),
        (
            "two addresses",
            middle.certify(|it| {
                it.subject_alt_names = vec![mail("x@example.com"), mail("dev@example.com")];
            }),
        ),
        ("no address", middle.certify(|it| it.subject_alt_names = Vec::new())),
        (
            "a URI",
            middle.certify(|it| {
                it.subject_alt_names =
                    vec![SanType::URI("https://dev@example.com".try_into().unwrap())];
            }),
        ),
        (
            "another issuer",
            middle.certify(|it| it.custom_extensions = vec![issuer_1("https://x.example.com")]),
        ),
        (
            "the newer form of the issuer",
            middle
                .certify(|it| it.custom_extensions = vec![issuer_2("https://issuer.example.com")]),
        ),
        (
            "both forms of the issuer",
            middle.certify(|it| it.custom_extensions.push(issuer_2("https://issuer.example.com"))),
        ),
        (
            "two issuers",
            middle.certify(|it| it.custom_extensions.push(issuer_2("https://x.example.com"))),
        ),
        ("no issuer", middle.certify(|it| it.custom_extensions = Vec::new())),
        (
            "another usage",
            middle.certify(|it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
        ("any usage", middle.certify(|it| it.extended_key_usages = Vec::new())),
        (
            "a critical extension",
            middle.certify(|it| {
                let mut strange = rcgen::CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
                strange.set_criticality(true);
                it.custom_extensions.push(strange);
            }),
        ),
    ] {
        rows.row(&format!("fulcio: {label}"), fulcio, &[shown(&by)]);
    }
    rows.row("fulcio: no roots", &fulcio.replace("\"root\"", "\"text\""), &[shown(&usual)]);

    // Other authorities.
    let pki = r#"{"type":"sigstoreSigned","pki":{"caRootsPath":"root","subjectEmail":"dev@example.com"}}"#;
    let lasting =
        |it: &mut rcgen::CertificateParams| it.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let usual = middle.certify(lasting);
    rows.row("pki: good", pki, &[certified(&usual, &chain, None, name)]);
    rows.row(
        "pki: its time is over",
        pki,
        &[certified(&middle.certify(|_| {}), &chain, None, name)],
    );
    rows.row("pki: without the chain", pki, &[certified(&usual, "", None, name)]);
    let known = pki.replace(
        r#""caRootsPath":"root""#,
        r#""caRootsPath":"root","caIntermediatesPath":"middle""#,
    );
    rows.row("pki: the policy has the chain", &known, &[certified(&usual, "", None, name)]);
    rows.row(
        "pki: intermediates that are none",
        &known.replace("\"middle\"", "\"text\""),
        &[certified(&usual, "", None, name)],
    );
    rows.row(
        "pki: no roots",
        &pki.replace("\"root\"", "\"text\""),
        &[certified(&usual, &chain, None, name)],
    );
    rows.row("pki: no certificate", pki, &[good]);
    rows.row(
        "pki: another address",
        &pki.replace("dev@", "x@"),
        &[certified(&usual, &chain, None, name)],
    );
    let hosts = middle.certify(|it| {
        lasting(it);
        it.subject_alt_names = vec![
            mail("dev@example.com"),
            SanType::DnsName("build.example.com".try_into().unwrap()),
        ];
    });
    let host = pki
        .replace(r#""subjectEmail":"dev@example.com""#, r#""subjectHostname":"build.example.com""#);
    rows.row("pki: its host", &host, &[certified(&hosts, &chain, None, name)]);
    rows.row(
        "pki: another host",
        &host.replace("build", "x"),
        &[certified(&hosts, &chain, None, name)],
    );
    rows.row("pki: no host", &host, &[certified(&usual, &chain, None, name)]);
    rows.row(
        "pki: of a stranger",
        pki,
        &[certified(&stranger.certify(lasting), &stranger.pem(), None, name)],
    );
    let strange = middle.certify(|it| {
        lasting(it);
        let mut strange = rcgen::CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
        strange.set_criticality(true);
        it.custom_extensions.push(strange);
    });
    rows.row("pki: a critical extension", pki, &[certified(&strange, &chain, None, name)]);
    insta::assert_snapshot!("sigstore", rows.table);
}
