mod login;

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::testing::Machine;

use login::log_in;

/// An entry with a user name that tells which one it is.
fn entry(name: &str) -> String {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{name}:pass"));
    format!(r#"{{"auth":"{auth}"}}"#)
}

/// A credential file with these keys; each key is also the user name, up to a colon in it.
fn keys(keys: &[&str]) -> String {
    let entries: Vec<_> = keys.iter().map(|key| format!("{key:?}:{}", entry(key))).collect();
    format!(r#"{{"auths":{{{}}}}}"#, entries.join(","))
}

fn one(key: &str, name: &str) -> String {
    format!(r#"{{"auths":{{{key:?}:{}}}}}"#, entry(name))
}

/// The user found for `key`, `token NAME` for an identity token, or the error.
fn user(machine: &Machine, options: &AuthOptions, key: &str) -> String {
    match find(&machine.config(), options, key) {
        Ok(Stored::None) => String::new(),
        Ok(Stored::Basic { username, password }) => {
            assert!(!password.is_empty());
            username
        }
        Ok(Stored::IdentityToken { username, token }) => {
            format!("token {username} {}", token.reveal())
        }
        Err(error) => machine.plain(&error),
    }
}

fn found(machine: &Machine, key: &str) -> String {
    user(machine, &AuthOptions::default(), key)
}

#[test]
fn files_are_read_in_order() {
    let files = [
        ("run/containers/auth.json", one("h", "runtime")),
        ("home/.config/containers/auth.json", one("h", "config")),
        ("home/.docker/config.json", one("h", "docker")),
        ("home/.dockercfg", format!(r#"{{"h":{}}}"#, entry("legacy"))),
    ];
    for skipped in 0..=files.len() {
        let mut machine = Machine::new().var_path("XDG_RUNTIME_DIR", "run").file("run/x", "");
        for (path, text) in &files[skipped..] {
            machine = machine.file(path, text);
        }
        let expected = ["runtime", "config", "docker", "legacy", ""][skipped];
        assert_eq!(found(&machine, "h"), expected);
    }
}

#[test]
fn variables_and_flags_choose_files() {
    let machine = || {
        Machine::new()
            .file("home/.docker/config.json", &one("h", "docker home"))
            .file("docker/config.json", &one("h", "docker config"))
            .file("xdg/containers/auth.json", &one("h", "xdg"))
            .file("run/containers/1000/auth.json", &one("run", "default"))
            .file("named.json", &one("h", "named"))
    };
    for (machine, key, expected) in [
        (machine(), "h", "docker home"),
        (machine(), "run", "default"),
        (machine().var_path("DOCKER_CONFIG", "docker"), "h", "docker config"),
        (machine().var_path("XDG_CONFIG_HOME", "xdg"), "h", "xdg"),
        (machine().var_path("XDG_RUNTIME_DIR", "missing"), "h", "docker home"), // with a warning
        (machine().var_path("REGISTRY_AUTH_FILE", "named.json"), "h", "named"),
        (machine().var_path("REGISTRY_AUTH_FILE", "missing.json"), "h", ""), // the only one read
    ] {
        assert_eq!(found(&machine, key), expected);
    }
    let machine = machine().var_path("REGISTRY_AUTH_FILE", "missing.json");
    let authfile = Some(machine.path("named.json"));
    let options = AuthOptions { authfile, compat_authfile: None };
    assert_eq!(user(&machine, &options, "h"), "named");
    assert_eq!(user(&machine, &options, "run"), "");
    let options = AuthOptions { authfile: Some("".into()), compat_authfile: None };
    assert_eq!(user(&machine, &options, "h"), "docker home"); // takes the variable back
}

#[test]
fn the_longest_key_counts() {
    let machine = Machine::new().file(
        "home/.config/containers/auth.json",
        &keys(&["quay.io", "quay.io/ns", "quay.io/ns/x", "https://old.io/v1/", "http://plain.io"]),
    );
    for (key, expected) in [
        ("quay.io", "quay.io"),
        ("quay.io/other", "quay.io"),
        ("quay.io/ns/other/deep", "quay.io/ns"),
        ("quay.io/ns/x", "quay.io/ns/x"),
        ("quay.io/nsx", "quay.io"),
        ("quay.io:5000", ""),
        ("other.io/quay.io", ""),
        ("old.io/x", "https"), // the name is cut at its colon
        ("plain.io", "http"),
    ] {
        assert_eq!(found(&machine, key), expected, "{key}");
    }
}

#[test]
fn docker_hub_has_many_names() {
    for key in
        ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"]
    {
        let machine = Machine::new().file("home/.docker/config.json", &one(key, "me"));
        assert_eq!(found(&machine, "docker.io/library/busybox"), "me", "{key}");
        assert_eq!(found(&machine, "docker.io"), "me", "{key}");
        assert_eq!(found(&machine, "quay.io"), "", "{key}");
    }
    // Only URLs stand for their host whatever their path is.
    let machine = Machine::new().file("home/.docker/config.json", &one("h.io/v1/", "me"));
    assert_eq!(found(&machine, "h.io"), "");
    let legacy = format!(r#"{{"h.io/v1/":{}}}"#, entry("me"));
    let machine = Machine::new().file("home/.dockercfg", &legacy);
    assert_eq!(found(&machine, "h.io/x"), "me");
}

#[test]
fn entries_are_decoded_with_care() {
    // user: u, password: p:q\0
    for (entry, expected) in [
        (r#"{"auth":"dTpwOnEA"}"#, "u p:q"),
        (r#"{"auth":"dTpwOnEA\n"}"#, "u p:q"),
        (r"{}", ""),
        (r"null", ""),
        (r#"{"auth":null}"#, ""),
        (r#"{"auth":"dXNlcg=="}"#, ""), // no colon
        (r#"{"auth":"dTpw","identitytoken":"T"}"#, "token u T"),
        (r#"{"auth":"dTpw","identitytoken":""}"#, "u p"),
        (r#"{"identitytoken":"T"}"#, "token  T"),
        (r#"{"auth":"dTpwOnEA","email":"x@y"}"#, "u p:q"),
        (
            r#"{"auth":"%"}"#,
            "decoding the \"auth\" field of \"h\" in /home/.config/containers/auth.json: illegal \
             base64 data at input byte 0",
        ),
    ] {
        let text = format!(r#"{{"auths":{{"h":{entry}}}}}"#);
        let machine = Machine::new().file("home/.config/containers/auth.json", &text);
        let found = match find(&machine.config(), &AuthOptions::default(), "h") {
            Ok(Stored::Basic { username, password }) => format!("{username} {}", password.reveal()),
            _ => found(&machine, "h"),
        };
        assert_eq!(found, expected, "{entry}");
    }
}

/// Go's programs, which write these files, match names of fields without regard to case.
#[test]
fn names_of_fields_are_matched_as_go_does() {
    let upper = |text: String| text.replace("\"auth\"", "\"AUTH\"");
    let e = || entry("u");
    for text in [
        format!(r#"{{"Auths":{{"h":{}}}}}"#, e()),
        format!(r#"{{"AUTHS":{{"h":{}}}}}"#, upper(e())),
        format!(r#"{{"auths":{{"h":{}}}}}"#, e().replace("auth", "Auth")),
        format!(r#"{{"auths":{{"h":{}}},"auths":{{"x":{{}}}}}}"#, e()), // both count
        format!(r#"{{"auths":{{"x":{{}}}},"Auths":{{"h":{}}}}}"#, e()),
        format!(r#"{{"auths":{{"h":{{"auth":"x"}}}},"auths":{{"h":{}}}}}"#, e()), // the last
        format!(r#"{{"auths":null,"auths":{{"h":{}}}}}"#, e()),
        format!(r#"{{"auths":{{"h":{}}},"credHelpers":null}}"#, e()),
    ] {
        for file in ["home/.docker/config.json", "home/.config/containers/auth.json"] {
            let machine = Machine::new().file(file, &text);
            assert_eq!(found(&machine, "h"), "u", "{file}: {text}");
        }
    }
    let legacy = format!(r#"{{"h":{}}}"#, upper(e()));
    assert_eq!(found(&Machine::new().file("home/.dockercfg", &legacy), "h"), "u");
    let token = r#"{"auths":{"h":{"auth":"dTo=","identityToken":"t"}}}"#;
    for text in [token.to_owned(), token.replace("identityToken", "IdentityToken")] {
        let machine = Machine::new().file("home/.docker/config.json", &text);
        assert_eq!(found(&machine, "h"), "token u t", "{text}");
    }
    for text in ["null", "{}", r#"{"auths":null}"#, r#"{"auths":{"h":null}}"#] {
        let machine = Machine::new().file("home/.docker/config.json", text);
        assert_eq!(found(&machine, "h"), "", "{text}");
    }
}

/// What is written has each name once, so that nobody reads two.
#[test]
fn odd_names_of_fields_are_written_as_they_should_be() {
    let text =
        format!(r#"{{"Auths":{{"a":{}}},"X":1,"auths":{{"b":{}}}}}"#, entry("a"), entry("b"));
    let machine = Machine::new().file("a.json", &text);
    let options = AuthOptions { authfile: Some(machine.path("a.json")), compat_authfile: None };
    log_in(&machine, &options, "c.io");
    let written: serde_json::Value = serde_json::from_str(&machine.read("a.json")).unwrap();
    let keys: Vec<_> = written.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["auths", "X"]);
    let hosts: Vec<_> = written["auths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(hosts, ["a", "b", "c.io"]);
    assert_eq!(user(&machine, &options, "a"), "a");
}

#[test]
fn broken_files_are_errors() {
    for (text, expected) in [
        ("", "unexpected end of JSON input"),
        ("[]", "invalid type: sequence, expected a map"),
        (r#"{"auths":[]}"#, "invalid type: sequence, expected a map"),
        (
            r#"{"auths":{"h":1}}"#,
            "invalid type: integer, expected an object with the credentials of a registry",
        ),
        (
            r#"{"auths":{"h":"c2VjcmV0, expected X"}}"#,
            "invalid type: string, expected an object with the credentials of a registry",
        ),
        (r#"{"auths":{"h":{"auth":true}}}"#, "invalid type: boolean, expected a string"),
    ] {
        let machine = Machine::new().file("home/.config/containers/auth.json", text);
        let path = "\"/home/.config/containers/auth.json\"";
        let expected = format!("reading JSON file {path}: unmarshaling JSON at {path}: {expected}");
        assert_eq!(found(&machine, "h"), expected, "{text}");
    }
    let machine = Machine::new();
    for (key, expected) in [
        ("https://h", "key https://h contains http[s]:// prefix"),
        ("h@x", "key h@x contains a '@' character"),
        ("h/x:tag", "key h/x:tag contains a ':' character after host[:port]"),
        ("h:5000/x", ""),
    ] {
        assert_eq!(found(&machine, key), expected);
    }
}

/// A helper that keeps one host per file in `kept/`.
const HELPER: &str = r#"
kept="$(dirname "$0")/../kept"; mkdir -p "$kept"
read -r input
case "$1" in
  get|erase)
    file="$kept/$(echo "$input" | tr / _)"
    [ -f "$file" ] || { echo "credentials not found in native keychain"; exit 1; }
    if [ "$1" = get ]; then cat "$file"; else rm "$file"; fi ;;
  store)
    host=$(echo "$input" | sed 's/.*"ServerURL":"\([^"]*\)".*/\1/' | tr / _)
    echo "$input" > "$kept/$host" ;;
  list) echo '{"listed.io":"someone"}' ;;
esac"#;

fn with_helper() -> Machine {
    let kept = |name: &str| format!(r#"{{"ServerURL":"x","Username":"{name}","Secret":"s"}}"#);
    Machine::new()
        .program("docker-credential-test", &format!("PATH=/usr/bin:/bin{HELPER}"))
        .program("docker-credential-bad", "echo ' no good '; exit 3")
        .file("kept/h.io", &kept("kept"))
        .file("kept/https:__index.docker.io_v1_", &kept("hub"))
        .file("kept/token.io", &kept("<token>"))
        .file("kept/listed.io", &kept("listed"))
}

#[test]
fn helpers_are_asked() {
    let path = "home/.docker/config.json";
    for (file, key, expected) in [
        (r#"{"credHelpers":{"h.io":"test"}}"#, "h.io/x", "kept"),
        (r#"{"credHelpers":{"h.io":"test"}}"#, "other.io", ""),
        (r#"{"credHelpers":{"none.io":"test"}}"#, "none.io", ""),
        (r#"{"credHelpers":{"token.io":"test"}}"#, "token.io", "token  s"),
        (
            r#"{"credHelpers":{"h.io":"bad"}}"#,
            "h.io",
            "error getting credentials - err: exit status 3, out: `no good`",
        ),
        (
            r#"{"credHelpers":{"h.io":"missing"}}"#,
            "h.io",
            "error getting credentials - err: exec: \"docker-credential-missing\": executable \
             file not found in $PATH, out: ``",
        ),
        (
            r#"{"credHelpers":{"h.io":"../bin/docker-credential-test"}}"#,
            "h.io",
            "error getting credentials - err: exec: \"docker-credential-../bin/\
             docker-credential-test\": executable file not found in $PATH, out: ``",
        ),
        // Docker's store for all hosts, which the original does not know.
        (r#"{"credsStore":"test"}"#, "h.io/x", "kept"),
        (r#"{"credsStore":"test"}"#, "docker.io/library/busybox", "hub"),
        (r#"{"credsStore":"test"}"#, "none.io", ""),
        (r#"{"auths":{"h.io":{}},"credsStore":"test"}"#, "h.io", "kept"),
        (r#"{"auths":{"h.io":{"auth":"dTpw"}},"credsStore":"test"}"#, "h.io", "u"),
        (r#"{"auths":{"h.io":{}},"credsStore":"missing"}"#, "h.io", ""), // only a warning
        (r#"{"credsStore":"bad"}"#, "h.io", ""),
    ] {
        let machine = with_helper().file(path, file);
        assert_eq!(found(&machine, key), expected, "{file}");
    }
}

#[test]
fn registries_conf_may_name_helpers() {
    let conf = "etc/containers/registries.conf";
    for (helpers, key, expected) in [
        ("['test']", "h.io", "kept"),
        ("['test']", "h.io/x/y", "kept"),
        ("['test']", "file.io", ""), // files are not among them
        ("['test','containers-auth.json']", "file.io", "file"),
        ("['containers-auth.json','test']", "h.io", "file h"),
        ("['missing','test']", "h.io", "kept"),
        (
            "['missing','bad']",
            "h.io",
            "errors looking up credentials:\n\t* error getting credentials - err: exec: \
             \"docker-credential-missing\": executable file not found in $PATH, out: ``\n\t* \
             error getting credentials - err: exit status 3, out: `no good`\n",
        ),
    ] {
        let file =
            format!(r#"{{"auths":{{"file.io":{},"h.io":{}}}}}"#, entry("file"), entry("file h"));
        let machine = with_helper()
            .file(conf, &format!("credential-helpers = {helpers}"))
            .file("home/.config/containers/auth.json", &file);
        assert_eq!(found(&machine, key), expected, "{helpers}");
    }
}

#[test]
fn get_login_tells_the_user() {
    let machine = Machine::new()
        .file("home/.config/containers/auth.json", &one("h.io", "me"))
        .file("d/config.json", &one("d", "docker"));
    let who = |machine: &Machine, key: &str| {
        get_login(&machine.config(), &AuthOptions::default(), &Key::parse(key).unwrap())
            .unwrap_or_else(|error| machine.plain(&error))
    };
    assert_eq!(who(&machine, "h.io/x"), "me");
    assert_eq!(who(&machine, "other"), "not logged into other");
    // With DOCKER_CONFIG, login knows that file only.
    let machine = machine.var_path("DOCKER_CONFIG", "d");
    assert_eq!(who(&machine, "d"), "docker");
    assert_eq!(who(&machine, "h.io"), "not logged into h.io");
}

#[test]
fn keys_of_arguments() {
    for (argument, expected) in [
        ("h", "h in h"),
        ("h:5000/a/b", "h:5000/a/b in h:5000"),
        ("docker.io/vendor", "docker.io/vendor in docker.io"), // not docker.io/library/vendor
        ("https://h:443/v2/x", "h:443 in h:443"),
        ("http://h/v2/", "h in h"),
        ("https://user@h/x", "h in h"),
        ("h.io/x:tag", "reference \"h.io/x:tag\" contains tag or digest"),
        (
            "h.io/UP",
            "parse reference from \"h.io/UP\": invalid reference format: repository name must be \
             lowercase",
        ),
        ("nohost/x", "\"nohost/x\" does not begin with a registry"),
        ("https://", "trimming http{s} prefix: empty host"),
    ] {
        let found = match Key::parse(argument) {
            Ok(key) => format!("{} in {}", key.key, key.registry),
            Err(error) => error.chain(),
        };
        assert_eq!(found, expected, "{argument}");
    }
}

#[test]
fn a_file_that_was_named_has_to_be_there() {
    assert!(check_file(None).is_ok());
    let error = check_file(Some(Path::new("/nope"))).unwrap_err();
    assert_eq!(
        error.chain(),
        "credential file is not accessible: stat /nope: no such file or directory"
    );
}

#[test]
fn secrets_do_not_show() {
    let stored = Stored::Basic { username: "u".to_owned(), password: "hidden".into() };
    assert!(!format!("{stored:?}").contains("hidden"));
}

#[test]
fn names_and_passwords_may_stand_in_the_open() {
    let basic = |machine: &Machine, key: &str| match find(
        &machine.config(),
        &AuthOptions { authfile: Some(machine.path("own.json")), ..AuthOptions::default() },
        key,
    ) {
        Ok(Stored::Basic { username, password }) => format!("{username}:{}", password.reveal()),
        Ok(other) => format!("{other:?}"),
        Err(error) => machine.plain(&error),
    };
    let open = r#"{"username":"u","password":"p:q"}"#;
    for (text, key, expected) in [
        (format!(r#"{{"auths":{{"h":{open}}}}}"#), "h", "u:p:q"),
        (format!(r#"{{"auths":{{"h/a":{open}}}}}"#), "h/a/b", "u:p:q"),
        (format!(r#"{{"auths":{{"https://h":{open}}}}}"#), "h", "u:p:q"),
        (r#"{"auths":{"h":{"auth":"","username":"u","password":"p"}}}"#.into(), "h", "u:p"),
        (r#"{"auths":{"h":{"auth":"eDp5","username":"u","password":"p"}}}"#.into(), "h", "x:y"),
        (r#"{"auths":{"h":{"username":"u"}}}"#.into(), "h", "None"),
        (r#"{"auths":{"h":{"username":"","password":"p"}}}"#.into(), "h", "None"),
        (r#"{"auths":{"h":{"username":1,"password":"p"}}}"#.into(), "h", "None"),
        // The form of ~/.dockercfg, and of Kubernetes' first secrets.
        (format!(r#"{{"h":{open}}}"#), "h", "u:p:q"),
        (r#"{"h":{"auth":"eDp5","email":"a@b.example"}}"#.into(), "h", "x:y"),
        // A file that has `auths` has no others.
        (format!(r#"{{"auths":{{}},"h":{open}}}"#), "h", "None"),
        (format!(r#"{{"credsStore":"","h":{open}}}"#), "h", "None"),
    ] {
        let machine = Machine::new().file("own.json", &text);
        assert_eq!(basic(&machine, key), expected, "{text}");
    }
    let machine = Machine::new().file("home/.dockercfg", &format!(r#"{{"h":{open}}}"#));
    assert_eq!(found(&machine, "h"), "u");
}
