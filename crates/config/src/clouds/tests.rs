//! What is found where, and that secrets do not print.

use std::path::Path;

use super::*;

fn environment(home: &Path, vars: &[(&str, &str)]) -> Environment {
    Environment::fixed(vars.iter().copied(), home, 1000, home)
}

/// What is found, without what is always said.
fn shown(found: &CloudSettings) -> Vec<String> {
    let said = found.pairs.iter().filter(|(name, _)| !name.contains("virtual_hosted"));
    let mut shown: Vec<_> =
        said.map(|(name, value)| format!("{name}={}", value.reveal())).collect();
    shown.sort();
    shown
}

#[test]
fn variables_of_aws_go_before_its_files() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".aws");
    fs_err::create_dir(&folder).unwrap();
    fs_err::write(
        folder.join("config"),
        "[default]\nregion = eu-1\n[profile two]\nregion = eu-2\nservices = mine\ns3 =\n  \
         addressing_style = virtual\n[services mine]\ns3 =\n  endpoint_url = http://minio:9000\n\
         [profile web]\nrole_arn = r\nweb_identity_token_file = /t\n[profile role]\nrole_arn = r\n\
         source_profile = two\n[profile sso]\nsso_session = x\n[profile run]\n\
         credential_process = /bin/creds 'a b'\n",
    )
    .unwrap();
    fs_err::write(
        folder.join("credentials"),
        "[default]\naws_access_key_id = A1\naws_secret_access_key = S1\n[two]\n\
         aws_access_key_id = A2\naws_secret_access_key = S2\naws_session_token = T2\n",
    )
    .unwrap();
    let read = |vars: &[(&str, &str)]| CloudSettings::aws(&environment(home.path(), vars));
    for (vars, expected) in [
        (&[][..], &["aws_access_key_id=A1", "aws_region=eu-1", "aws_secret_access_key=S1"][..]),
        (
            &[("AWS_PROFILE", "two")],
            &[
                "aws_access_key_id=A2",
                "aws_endpoint_url_s3=http://minio:9000",
                "aws_region=eu-2",
                "aws_secret_access_key=S2",
                "aws_session_token=T2",
            ],
        ),
        (
            &[
                ("AWS_PROFILE", "two"),
                ("AWS_ACCESS_KEY_ID", "A0"),
                ("AWS_SECRET_ACCESS_KEY", "S0"),
                ("AWS_ENDPOINT_URL", "http://ceph"),
                ("AWS_REGION", "here"),
            ],
            &[
                "aws_access_key_id=A0",
                "aws_endpoint_url=http://ceph",
                "aws_region=here",
                "aws_secret_access_key=S0",
            ],
        ),
        (
            &[("AWS_PROFILE", "two"), ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")],
            &[
                "aws_access_key_id=A2",
                "aws_region=eu-2",
                "aws_secret_access_key=S2",
                "aws_session_token=T2",
            ],
        ),
        (
            &[("AWS_WEB_IDENTITY_TOKEN_FILE", "/token"), ("AWS_ROLE_ARN", "arn")],
            &["aws_region=eu-1", "aws_role_arn=arn", "aws_web_identity_token_file=/token"],
        ),
        (&[("AWS_PROFILE", "web")], &["aws_role_arn=r", "aws_web_identity_token_file=/t"]),
        (&[("AWS_SKIP_SIGNATURE", "true")], &["aws_region=eu-1", "aws_skip_signature=true"]),
    ] {
        let found = read(vars).unwrap();
        assert_eq!(shown(&found), expected, "{vars:?}");
        let printed = format!("{found:?}");
        assert!(["S0", "S1", "S2", "T2"].iter().all(|secret| !printed.contains(secret)));
    }
    let run = read(&[("AWS_PROFILE", "run")]).unwrap();
    assert!(run.process.is_some() && !format!("{:?}", run.process).contains("a b"));
    for profile in ["role", "sso", "nobody"] {
        let error = read(&[("AWS_PROFILE", profile)]).unwrap_err();
        assert!(error.to_string().contains(profile), "{error}");
    }
    let two = read(&[("AWS_PROFILE", "two")]).unwrap();
    assert_eq!(two.get("aws_virtual_hosted_style_request"), Some("true"));
}

#[test]
fn files_of_aws_may_lie_elsewhere_or_not_be_there() {
    let home = tempfile::tempdir().unwrap();
    let other = home.path().join("other");
    fs_err::write(&other, "[x]\naws_access_key_id = A\naws_secret_access_key = S\n").unwrap();
    let other = other.to_str().unwrap();
    let vars = [("AWS_SHARED_CREDENTIALS_FILE", other), ("AWS_PROFILE", "x")];
    let found = CloudSettings::aws(&environment(home.path(), &vars)).unwrap();
    assert_eq!(found.get("aws_access_key_id"), Some("A"));
    let none = CloudSettings::aws(&environment(&home.path().join("nobody"), &[])).unwrap();
    assert_eq!(shown(&none), [""; 0]);
}

#[test]
fn google_has_an_emulator_files_and_machines() {
    let home = tempfile::tempdir().unwrap();
    let read = |vars: &[(&str, &str)]| CloudSettings::google(&environment(home.path(), vars));
    assert_eq!(shown(&read(&[]).unwrap()), [""; 0]);
    let emulated = read(&[("STORAGE_EMULATOR_HOST", "localhost:4443")]).unwrap();
    let expected = ["google_base_url=http://localhost:4443", "google_skip_signature=true"];
    assert_eq!(shown(&emulated), expected);
    let folder = home.path().join(".config/gcloud");
    fs_err::create_dir_all(&folder).unwrap();
    let usual = folder.join("application_default_credentials.json");
    fs_err::write(&usual, r#"{"type":"authorized_user","refresh_token":"hush"}"#).unwrap();
    let expected = format!("google_application_credentials={}", usual.display());
    assert_eq!(shown(&read(&[]).unwrap()), [expected]);
    let other = home.path().join("other.json");
    fs_err::write(&other, r#"{"type":"external_account"}"#).unwrap();
    let named = [("GOOGLE_APPLICATION_CREDENTIALS", other.to_str().unwrap())];
    assert!(read(&named).unwrap_err().to_string().contains("external_account"));
    let missing = [("GOOGLE_APPLICATION_CREDENTIALS", "/nope.json")];
    assert!(read(&missing).is_err());
}

#[test]
fn keys_of_azure_are_for_their_account_only() {
    let home = tempfile::tempdir().unwrap();
    let read = |vars: &[(&str, &str)]| CloudSettings::azure(&environment(home.path(), vars), "me");
    let key = ("AZURE_STORAGE_KEY", "hush");
    assert_eq!(shown(&read(&[key]).unwrap()), ["azure_storage_account_key=hush"]);
    assert_eq!(shown(&read(&[key, ("AZURE_STORAGE_ACCOUNT", "other")]).unwrap()), [""; 0]);
    let string = |text| [("AZURE_STORAGE_CONNECTION_STRING", text)];
    let whole = "DefaultEndpointsProtocol=https;AccountName=me;AccountKey=a==;\
                 EndpointSuffix=core.windows.net";
    let expected = [
        "azure_storage_account_key=a==",
        "azure_storage_endpoint=https://me.blob.core.windows.net",
    ];
    assert_eq!(shown(&read(&string(whole)).unwrap()), expected);
    let others = "AccountName=you;AccountKey=a==;BlobEndpoint=http://h/you";
    assert_eq!(shown(&read(&string(others)).unwrap()), [""; 0]);
    let local = "AccountName=me;AccountKey=a==;BlobEndpoint=http://127.0.0.1:10000/me;";
    let expected =
        ["azure_storage_account_key=a==", "azure_storage_endpoint=http://127.0.0.1:10000/me"];
    assert_eq!(shown(&read(&string(local)).unwrap()), expected);
    assert!(read(&string("UseDevelopmentStorage=true")).is_err());
    let found = read(&[key]).unwrap();
    assert!(!format!("{found:?}").contains("hush"));
}

/// What no request can carry is refused by its name, before anything is asked, and is not told.
#[test]
fn line_breaks_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let keys = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "S")];
    let aws = |vars: &[(&str, &str)]| CloudSettings::aws(&environment(home.path(), vars));
    let azure = |vars: &[(&str, &str)]| CloudSettings::azure(&environment(home.path(), vars), "me");
    let token = home.path().join("token");
    fs_err::write(&token, "hush\n").unwrap();
    let file = token.display().to_string();
    let uri = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/x");
    let named = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file.as_str());
    let with = |more: (&'static str, &'static str)| [keys[0], keys[1], more];
    for (found, sentence) in [
        (aws(&with(("AWS_SESSION_TOKEN", "hush\n"))), "aws_session_token has a line break"),
        (aws(&with(("AWS_REGION", "us\u{7f}"))), "aws_region has a line break"),
        (aws(&[("AWS_ACCESS_KEY_ID", "hush\n"), keys[1]]), "aws_access_key_id has a line break"),
        (aws(&[uri, named]), "the token in "),
        (aws(&[uri]), "only with AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        (azure(&[("AZURE_TENANT_ID", "hush\nx"), ("AZURE_CLIENT_ID", "y")]), "a line break"),
    ] {
        let error = found.unwrap_err().to_string();
        assert!(error.contains(sentence) && !error.contains("hush"), "{error}");
    }
    fs_err::write(&token, "hush").unwrap();
    aws(&[uri, named]).unwrap();
}
