use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use skopeo_image::Classify as _;
use skopeo_registry::{
    Client, ClientOptions, ClientPair, Credentials, Error, TlsDetails, TlsError, TlsOptions,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::rustls::version::TLS12;
use tokio_rustls::rustls::{ALL_VERSIONS, RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::server::{Server, chain, reply};

/// A certificate and its key.
pub(crate) struct Made {
    der: CertificateDer<'static>,
    pub(crate) pem: String,
    key: PrivateKeyDer<'static>,
    key_pem: String,
}

fn made(certificate: &rcgen::Certificate, key: &KeyPair) -> Made {
    Made {
        der: certificate.der().clone(),
        pem: certificate.pem(),
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        key_pem: key.serialize_pem(),
    }
}

fn parameters(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// What `openssl req -x509` makes: an authority that is the server as well.
pub(crate) fn both(names: &[&str]) -> Made {
    let mut parameters = parameters(names);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    made(&parameters.self_signed(&key).unwrap(), &key)
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = parameters(&[]);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn signed(parameters: CertificateParams, by: &CertifiedIssuer<'_, KeyPair>) -> Made {
    let key = KeyPair::generate().unwrap();
    made(&parameters.signed_by(&key, by).unwrap(), &key)
}

pub(crate) fn config(
    server: &Made,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&CertifiedIssuer<'_, KeyPair>>,
) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    // Certificates that rustls itself would not serve are served, too.
    let key = default_provider().key_provider.load_private_key(server.key.clone_key()).unwrap();
    let certified = CertifiedKey::new(vec![server.der.clone()], key);
    builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
}

async fn start(server: &Made) -> Server {
    start_with(config(server, ALL_VERSIONS, None)).await
}

async fn start_with(config: ServerConfig) -> Server {
    Server::start_tls(TlsAcceptor::from(Arc::new(config)), |_| reply(200).body("{}")).await
}

fn client(server: &Server, roots: &[&str]) -> Client {
    client_as(server, roots, Credentials::Anonymous)
}

fn client_as(server: &Server, roots: &[&str], credentials: Credentials) -> Client {
    let tls = TlsOptions {
        extra_roots_pem: roots.iter().map(|pem| pem.as_bytes().to_vec()).collect(),
        searched: vec![
            PathBuf::from("/etc/containers/certs.d/x"),
            PathBuf::from("/etc/docker/certs.d/x"),
        ],
        ..TlsOptions::default()
    };
    Client::new(ClientOptions { tls, credentials, insecure: false, ..server.options() }).unwrap()
}

async fn reason(client: &Client) -> String {
    let error = client.check_login().await.unwrap_err();
    assert!(matches!(error, Error::Ping { .. }) && !error.is_transient(), "{error:?}");
    let text = chain(&error);
    text.rsplit_once("/v2/\": ").unwrap().1.to_owned()
}

const UNKNOWN: &str =
    "tls: failed to verify certificate: x509: certificate signed by unknown authority";

#[tokio::test]
async fn servers_are_believed_through_their_authority() {
    let authority = authority("ca");
    let server = start(&signed(parameters(&["127.0.0.1"]), &authority)).await;
    client(&server, &["no certificate", &authority.pem()]).check_login().await.unwrap();
    for roots in [vec![], vec![both(&["127.0.0.1"]).pem]] {
        let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
        let client = client(&server, &roots);
        let error = client.check_login().await.unwrap_err();
        assert_eq!(
            chain(&error),
            format!(
                "pinging container registry {0}: Get \"https://{0}/v2/\": {UNKNOWN}",
                server.host
            )
        );
        let hint = error.hint().unwrap();
        for part in [
            server.host.as_str(),
            "/etc/containers/certs.d/x or /etc/docker/certs.d/x",
            "--tls-verify=false",
        ] {
            assert!(hint.contains(part), "{hint}");
        }
    }
}

#[tokio::test]
async fn credentials_for_https_are_not_sent_in_the_clear() {
    let same = both(&["127.0.0.1"]);
    let plain = Server::start(|_| reply(200).body(r#"{"token":"t"}"#)).await;
    let start = |realm: String| {
        let acceptor = TlsAcceptor::from(Arc::new(config(&same, ALL_VERSIONS, None)));
        Server::start_tls(acceptor, move |seen| {
            let host = seen.header("host").unwrap();
            let realm = realm.replace("HOST", host);
            match seen.header("authorization") {
                _ if seen.path.starts_with("/token") => reply(200).body(r#"{"token":"t"}"#),
                Some("Bearer t") => reply(200).body("{}"),
                _ => reply(401).header("WWW-Authenticate", format!("Bearer realm=\"{realm}\"")),
            }
        })
    };
    let known = [
        Credentials::Basic { username: "u".to_owned(), password: "hunter2".into() },
        Credentials::IdentityToken("hunter2".into()),
    ];
    for credentials in known.clone() {
        let server = start(format!("http://{}/token", plain.host)).await;
        let error = client_as(&server, &[&same.pem], credentials).check_login().await.unwrap_err();
        let expected = format!(
            "refusing to send credentials to the token server http://{}/token over plain http",
            plain.host
        );
        assert!(chain(&error).starts_with(&expected), "{}", chain(&error));
        assert_eq!(plain.lines(), [""; 0]);
    }
    // Strangers have nothing to lose.
    let server = start(format!("http://{}/token", plain.host)).await;
    client(&server, &[&same.pem]).check_login().await.unwrap();
    assert_eq!(plain.lines(), ["GET /token"]);
    // A registry that does not know of the TLS before it means itself.
    for credentials in known {
        let server = start("http://HOST/token".to_owned()).await;
        client_as(&server, &[&same.pem], credentials).check_login().await.unwrap();
    }
}

#[tokio::test]
async fn an_authority_that_is_the_server_is_believed_where_it_is_a_root() {
    let same = both(&["127.0.0.1"]);
    let server = start(&same).await;
    client(&server, &[&same.pem]).check_login().await.unwrap();
    assert_eq!(reason(&client(&server, &[])).await, UNKNOWN);
    // A namesake whose key did not sign it.
    let said = reason(&client(&server, &[&both(&["127.0.0.1"]).pem])).await;
    assert!(said.starts_with(UNKNOWN) && said.contains("ECDSA verification failure"), "{said}");

    let other_name = both(&["registry.example"]);
    let server = start(&other_name).await;
    assert_eq!(
        reason(&client(&server, &[&other_name.pem])).await,
        "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 \
         because it doesn't contain any IP SANs"
    );
    let nameless = both(&[]);
    let server = start(&nameless).await;
    assert_eq!(
        reason(&client(&server, &[&nameless.pem])).await,
        "tls: failed to verify certificate: x509: cannot validate certificate for 127.0.0.1 \
         because it doesn't contain any IP SANs"
    );
    for (from, to) in [(2000, 2001), (2200, 2201)] {
        let mut parameters = parameters(&["127.0.0.1"]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.not_before = rcgen::date_time_ymd(from, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let past = made(&parameters.self_signed(&key).unwrap(), &key);
        let server = start(&past).await;
        let client = client(&server, &[&past.pem]);
        let said = reason(&client).await;
        let expired = "tls: failed to verify certificate: x509: certificate has expired or is not \
                       yet valid: current time ";
        assert!(said.starts_with(expired), "{said}");
        let (word, year) =
            if to == 2001 { ("is after", "2001-01-01") } else { ("is before", "2200-01-01") };
        assert!(said.ends_with(&format!("{word} {year}T00:00:00Z")), "{said}");
        let hint = client.check_login().await.unwrap_err().hint().unwrap();
        assert!(hint.contains(year) && hint.contains("this machine's clock"), "{hint}");
        assert!(!hint.contains("not trusted"), "{hint}");
    }
}

#[tokio::test]
async fn a_plain_self_signed_server_is_believed_where_it_is_a_root() {
    let key = KeyPair::generate().unwrap();
    let plain = made(&parameters(&["127.0.0.1"]).self_signed(&key).unwrap(), &key);
    let server = start(&plain).await;
    client(&server, &[&plain.pem]).check_login().await.unwrap();
    assert_eq!(reason(&client(&server, &[])).await, UNKNOWN);
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let authority = authority("ca");
    for (names, said) in [
        (
            &["a.example", "b.example"][..],
            "cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs",
        ),
        (&["10.0.0.1", "::1"], "certificate is valid for 10.0.0.1, ::1, not 127.0.0.1"),
    ] {
        let server = start(&signed(parameters(names), &authority)).await;
        let client = client(&server, &[&authority.pem()]);
        let expected = format!("tls: failed to verify certificate: x509: {said}");
        assert_eq!(reason(&client).await, expected);
        let hint = client.check_login().await.unwrap_err().hint().unwrap();
        let told = format!("is for {}, not for 127.0.0.1", names.join(", "));
        assert!(hint.contains(&told), "{hint}");
    }
}

/// What Go's verifier believes and refuses, of certificates that webpki sees otherwise.
#[tokio::test]
async fn certificates_are_judged_as_go_judges_them() {
    use rcgen::{CustomExtension, ExtendedKeyUsagePurpose as Usage, KeyUsagePurpose};
    let root = authority("ca");
    let of = |change: &dyn Fn(&mut CertificateParams)| {
        let mut parameters = parameters(&["127.0.0.1"]);
        change(&mut parameters);
        parameters
    };
    let any = Usage::Other(vec![2, 5, 29, 37, 0]);
    let authority = |usage: Vec<Usage>, by: &CertifiedIssuer<'_, KeyPair>| {
        let mut parameters = parameters(&[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "between");
        parameters.extended_key_usages = usage;
        CertifiedIssuer::signed_by(parameters, KeyPair::generate().unwrap(), by).unwrap()
    };
    let ca = |it: &mut CertificateParams| it.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let with = |usages: Vec<Usage>| of(&|it| it.extended_key_usages.clone_from(&usages));
    let critical = of(&|it| {
        let mut odd = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![5, 0]);
        odd.set_criticality(true);
        it.custom_extensions.push(odd);
    });
    let usage = "certificate specifies an incompatible key usage";
    for (what, made, said) in [
        ("an authority", signed(of(&ca), &root), ""),
        ("for anything", signed(with(vec![any.clone()]), &root), ""),
        ("for clients and anything", signed(with(vec![Usage::ClientAuth, any.clone()]), &root), ""),
        ("for servers", signed(with(vec![Usage::ServerAuth]), &root), ""),
        ("for clients", signed(with(vec![Usage::ClientAuth]), &root), usage),
        ("critical", signed(critical, &root), "unhandled critical extension"),
        (
            "may sign",
            signed(
                of(&|it| {
                    ca(it);
                    it.key_usages = vec![KeyUsagePurpose::KeyCertSign];
                }),
                &root,
            ),
            "",
        ),
    ] {
        let server = start(&made).await;
        let outcome = client(&server, &[&root.pem()]).check_login().await;
        match (said, outcome) {
            ("", outcome) => assert!(outcome.is_ok(), "{what}: {outcome:?}"),
            (said, Err(error)) => assert!(chain(&error).ends_with(said), "{what}: {error:?}"),
            (_, Ok(())) => panic!("{what} is believed"),
        }
        // The certificate itself among those that are trusted, and nothing else: it is believed
        // for the same uses.
        let pinned = client(&server, &[&made.pem]).check_login().await;
        assert_eq!(pinned.is_ok(), said.is_empty(), "{what}: {pinned:?}");
    }
    // A pinned certificate vouches for nobody else, whatever its key has signed.
    let pinned = signed(parameters(&["127.0.0.1"]), &root);
    let other = start(&signed(parameters(&["127.0.0.1"]), &root)).await;
    assert!(reason(&client(&other, &[&pinned.pem])).await.starts_with(UNKNOWN));
    // What is between the root and the server counts, too.
    for (usages, good) in [(vec![], true), (vec![any], true), (vec![Usage::ClientAuth], false)] {
        let between = authority(usages, &root);
        let made = signed(parameters(&["127.0.0.1"]), &between);
        let mut config = config(&made, ALL_VERSIONS, None);
        let chain = vec![made.der.clone(), between.der().clone()];
        let key = made.key.clone_key();
        config.cert_resolver = Arc::new(SingleCertAndKey::from(
            CertifiedKey::from_der(chain, key, &default_provider()).unwrap(),
        ));
        let server = start_with(config).await;
        let outcome = client(&server, &[&root.pem()]).check_login().await;
        assert_eq!(outcome.is_ok(), good, "{outcome:?}");
    }
}

#[tokio::test]
async fn roots_have_to_be_good_themselves() {
    let mut old = parameters(&[]);
    old.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    old.distinguished_name.push(DnType::CommonName, "old root");
    old.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let old = CertifiedIssuer::self_signed(old, KeyPair::generate().unwrap()).unwrap();
    let mut none = parameters(&[]);
    none.is_ca = IsCa::ExplicitNoCa;
    none.distinguished_name.push(DnType::CommonName, "no root");
    let none = CertifiedIssuer::self_signed(none, KeyPair::generate().unwrap()).unwrap();
    for (root, why) in [
        (&old, "certificate has expired or is not yet valid"),
        (&none, "parent certificate cannot sign this kind of certificate"),
    ] {
        let server = start(&signed(parameters(&["127.0.0.1"]), root)).await;
        let said = reason(&client(&server, &[&root.pem()])).await;
        assert!(said.starts_with(UNKNOWN) && said.contains(why), "{said}");
        assert!(said.contains("possibly because of") && said.contains("root"), "{said}");
    }
}

#[tokio::test]
async fn insecure_believes_anything_and_still_speaks_tls() {
    for certificate in [both(&["elsewhere"]), both(&[])] {
        let server = start(&certificate).await;
        let client = server.client();
        client.check_login().await.unwrap();
        assert_eq!(client.requests(), 1);
    }
}

#[tokio::test]
async fn the_client_certificate_that_is_asked_for_is_shown() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let certificate = both(&["127.0.0.1"]);
    let pair = |name: &str, made: Made| ClientPair {
        name: name.to_owned(),
        certificate_pem: made.pem.into_bytes(),
        key_pem: made.key_pem.into(),
    };
    for (clients, good) in [(&ours, true), (&theirs, false)] {
        let server = start_with(config(&certificate, ALL_VERSIONS, Some(clients))).await;
        let stranger = authority("stranger");
        let pairs = vec![
            pair("stranger.cert", signed(parameters(&["s"]), &stranger)),
            pair("ours.cert", signed(parameters(&["o"]), &ours)),
        ];
        let tls = TlsOptions {
            client_pairs: pairs,
            extra_roots_pem: vec![certificate.pem.clone().into_bytes()],
            ..TlsOptions::default()
        };
        let options = ClientOptions { tls, insecure: false, ..server.options() };
        let outcome = Client::new(options).unwrap().check_login().await;
        assert_eq!(outcome.is_ok(), good, "{outcome:?}");
        if let Err(error) = outcome {
            let text = chain(&error);
            assert!(text.contains("tls: certificate required"), "{text}");
            assert!(
                error.hint().is_some_and(|hint| hint.contains("requires a client certificate"))
            );
        }
    }
}

#[test]
fn client_certificates_that_are_none_are_named() {
    let good = both(&["x"]);
    for (certificate, key, expected) in [
        ("", good.key_pem.as_str(), "no certificate found"),
        (good.pem.as_str(), "", "its key"),
        (good.pem.as_str(), both(&["y"]).key_pem.as_str(), "does not match public key"),
    ] {
        let tls = TlsOptions {
            client_pairs: vec![ClientPair {
                name: "certs.d/client.cert".to_owned(),
                certificate_pem: certificate.as_bytes().to_vec(),
                key_pem: key.into(),
            }],
            ..TlsOptions::default()
        };
        let error = Client::new(ClientOptions { tls, ..ClientOptions::new("x") }).unwrap_err();
        let text = chain(&error);
        assert!(text.starts_with("loading client certificate certs.d/client.cert: "), "{text}");
        assert!(text.to_lowercase().contains(expected), "{text}");
    }
}

#[tokio::test]
async fn details_are_kept_to() {
    let certificate = both(&["127.0.0.1"]);
    let server = start_with(config(&certificate, &[&TLS12], None)).await;
    let with = |details: TlsDetails| {
        let tls = TlsOptions {
            extra_roots_pem: vec![certificate.pem.clone().into_bytes()],
            details,
            ..TlsOptions::default()
        };
        Client::new(ClientOptions { tls, insecure: false, ..server.options() })
    };
    with(TlsDetails::default()).unwrap().check_login().await.unwrap();
    let details = TlsDetails { min_version: Some("1.3".to_owned()), ..TlsDetails::default() };
    let text = reason(&with(details).unwrap()).await;
    assert_eq!(text, "remote error: tls: protocol version not supported");
    let details =
        TlsDetails { cipher_suites: Some(vec!["TLS_X".to_owned()]), ..TlsDetails::default() };
    assert!(
        matches!(with(details), Err(Error::Tls(TlsError::CipherSuite(name))) if name == "TLS_X")
    );
}
