//! What a login and a logout write.

use super::*;

pub(super) fn log_in(machine: &Machine, options: &AuthOptions, key: &str) -> String {
    let key = match Key::parse(key) {
        Ok(key) => key,
        Err(error) => return machine.plain(&error),
    };
    match login(&machine.config(), options, &key, "user", &"p<&>:x\"ä".into()) {
        Ok(place) => place.replace(machine.root().to_str().unwrap(), ""),
        Err(error) => machine.plain(&error),
    }
}

fn log_out(machine: &Machine, options: &AuthOptions, key: &str) -> String {
    let key = Key::parse(key).unwrap();
    match logout(&machine.config(), options, &key) {
        Ok(Logout::Removed) => "removed".to_owned(),
        Ok(Logout::NotHere(stored)) => {
            format!("not here; {}", stored.username().unwrap_or("nobody"))
        }
        Err(error) => machine.plain(&error),
    }
}

/// What skopeo 1.9.3 wrote for the same user, password and registry.
const WRITTEN: &str =
    "{\n\t\"auths\": {\n\t\t\"h:5000\": {\n\t\t\t\"auth\": \"dXNlcjpwPCY+Ongiw6Q=\"\n\t\t}\n\t}\n}";

#[test]
fn login_writes_what_the_original_writes() {
    let options = AuthOptions::default();
    let machine = Machine::new().var_path("XDG_RUNTIME_DIR", "run").file("run/x", "");
    let path = "run/containers/auth.json";
    assert_eq!(log_in(&machine, &options, "h:5000"), format!("/{path}"));
    assert_eq!(machine.read(path), WRITTEN);
    let mode =
        |path: &str| fs_err::metadata(machine.path(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("run/containers"), mode(path)), (0o700, 0o600));
    assert_eq!(log_in(&machine, &options, "h:5000/ns"), format!("/{path}"));
    assert_eq!(found(&machine, "h:5000/ns/x"), "user");

    let files = fs_err::read_dir(machine.path("run/containers")).unwrap().count();
    assert_eq!(files, 1, "no temporary file is left");

    assert_eq!(log_out(&machine, &options, "h:5000/ns"), "removed");
    assert_eq!(machine.read(path), WRITTEN);
    assert_eq!(log_out(&machine, &options, "h:5000/ns"), "not here; user"); // the host's
    assert_eq!(log_out(&machine, &options, "other"), "not here; nobody");
    logout_all(&machine.config(), &options).unwrap();
    assert_eq!(machine.read(path), "{\n\t\"auths\": {}\n}");
}

#[test]
fn where_login_writes() {
    let machine = || {
        Machine::new()
            .file("home/.docker/config.json", r#"{"auths":{}}"#)
            .var_path("XDG_CONFIG_HOME", "xdg")
    };
    let none = AuthOptions::default;
    for (machine, options, expected) in [
        (machine(), none(), "/run/containers/1000/auth.json"),
        (machine().var_path("XDG_RUNTIME_DIR", "home"), none(), "/home/containers/auth.json"),
        (
            machine().var_path("XDG_RUNTIME_DIR", "none"),
            none(),
            "\"/none\" directory set by $XDG_RUNTIME_DIR does not exist. Either create the \
             directory or unset $XDG_RUNTIME_DIR.: stat /none: no such file or directory",
        ),
        (machine().var_path("REGISTRY_AUTH_FILE", "a/b/f.json"), none(), "/a/b/f.json"),
        (machine().var_path("DOCKER_CONFIG", "d"), none(), "/d/config.json"),
        (
            machine().var_path("DOCKER_CONFIG", "d").var_path("REGISTRY_AUTH_FILE", "f.json"),
            none(),
            "/f.json",
        ),
    ] {
        let found = log_in(&machine, &options, "h").replace(machine.root().to_str().unwrap(), "");
        assert_eq!(found, expected);
    }
    let machine = machine().var_path("REGISTRY_AUTH_FILE", "env.json");
    let flag = AuthOptions { authfile: Some(machine.path("flag.json")), compat_authfile: None };
    assert_eq!(log_in(&machine, &flag, "h"), "/flag.json");
    let both = AuthOptions { compat_authfile: Some("x".into()), ..flag };
    assert!(log_in(&machine, &both, "h").ends_with("can not be set simultaneously"));
}

#[test]
fn what_is_not_understood_is_kept() {
    let before = r#"{
        "credHelpers": {"z.io": "test"},
        "HttpHeaders": {"b": "<1>", "a": [1, {}]},
        "auths": {"z.io": {}, "k.io": {"auth": "dTpw", "email": "e"}},
        "credsStore": "x"
    }"#;
    let machine = Machine::new().file("c.json", before).file("a.json", before);
    let docker = AuthOptions { authfile: None, compat_authfile: Some(machine.path("c.json")) };
    log_in(&machine, &docker, "docker.io");
    assert_eq!(
        machine.read("c.json"),
        "{\n\t\"HttpHeaders\": {\n\t\t\"b\": \"\\u003c1\\u003e\",\n\t\t\"a\": [\n\t\t\t1,\n\t\t\t{}\n\t\t]\n\t},\
         \n\t\"auths\": {\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \
         \"dXNlcjpwPCY+Ongiw6Q=\"\n\t\t},\n\t\t\"k.io\": {\n\t\t\t\"auth\": \"dTpw\",\n\t\t\t\
         \"email\": \"e\"\n\t\t},\n\t\t\"z.io\": {}\n\t},\n\t\"credHelpers\": {\n\t\t\"z.io\": \
         \"test\"\n\t},\n\t\"credsStore\": \"x\"\n}"
    );
    assert_eq!(log_out(&machine, &docker, "docker.io"), "removed");

    let plain = AuthOptions { authfile: Some(machine.path("a.json")), compat_authfile: None };
    log_in(&machine, &plain, "docker.io");
    let after = machine.read("a.json");
    assert!(after.starts_with("{\n\t\"auths\": {\n\t\t\"docker.io\": {\n"), "{after}");
    let value: serde_json::Value = serde_json::from_str(&after).unwrap();
    let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["auths", "credHelpers", "HttpHeaders", "credsStore"]);
}

#[test]
fn docker_knows_no_namespaces() {
    let machine = Machine::new().var_path("DOCKER_CONFIG", "d");
    assert_eq!(
        log_in(&machine, &AuthOptions::default(), "h.io/ns"),
        "Credentials cannot be recorded in Docker-compatible format with namespaced key \
         \"h.io/ns\""
    );
}

#[test]
fn helpers_keep_what_they_are_given() {
    let options = AuthOptions::default();
    let file = "run/containers/1000/auth.json";
    let machine = with_helper().file(file, r#"{"credHelpers":{"new.io":"test","b.io":"bad"}}"#);
    assert_eq!(log_in(&machine, &options, "new.io"), "credential helper: test");
    assert_eq!(
        machine.read("kept/new.io"),
        "{\"ServerURL\":\"new.io\",\"Username\":\"user\",\"Secret\":\"p\\u003c\\u0026\\u003e:x\\\"ä\"}\n"
    );
    assert_eq!(found(&machine, "new.io"), "user");
    assert_eq!(
        log_in(&machine, &options, "b.io"),
        format!(
            "updating \"/{file}\": error storing credentials - err: exit status 3, out: `no good`"
        )
    );
    assert_eq!(log_out(&machine, &options, "new.io"), "removed");
    assert_eq!(log_out(&machine, &options, "new.io"), "not here; nobody");
    assert_eq!(
        log_out(&machine, &options, "b.io"),
        format!(
            "logging out of \"b.io\": updating \"/{file}\": removing credentials for b.io from \
             credential helper bad: error erasing credentials - err: exit status 3, out: `no good`"
        )
    );

    let machine =
        with_helper().file("etc/containers/registries.conf", "credential-helpers = ['test']");
    assert_eq!(log_in(&machine, &options, "h.io"), "credential helper: test");
    assert_eq!(
        log_in(&machine, &options, "h.io/ns"),
        "namespaced key is not supported for credential helper test"
    );
    assert!(machine.path("kept/listed.io").exists());
    logout_all(&machine.config(), &options).unwrap();
    assert!(!machine.path("kept/listed.io").exists());
}

#[test]
fn a_linked_file_stays_a_link() {
    let machine = Machine::new().file("dotfiles/auth.json", "{}");
    std::os::unix::fs::symlink(machine.path("dotfiles/auth.json"), machine.path("a.json")).unwrap();
    let options = AuthOptions { authfile: Some(machine.path("a.json")), compat_authfile: None };
    log_in(&machine, &options, "h:5000");
    assert_eq!(machine.read("dotfiles/auth.json"), WRITTEN);
    assert!(fs_err::symlink_metadata(machine.path("a.json")).unwrap().is_symlink());
}

#[test]
fn logins_at_the_same_time_are_all_kept() {
    let machine = Machine::new();
    let config = machine.config();
    let options = AuthOptions { authfile: Some(machine.path("a.json")), compat_authfile: None };
    std::thread::scope(|scope| {
        for host in 0..16 {
            let (config, options) = (&config, &options);
            scope.spawn(move || {
                let key = Key::parse(&format!("h{host}.io")).unwrap();
                login(config, options, &key, "me", &"secret".into()).unwrap();
            });
        }
    });
    for host in 0..16 {
        assert_eq!(user(&machine, &options, &format!("h{host}.io")), "me");
    }
}

#[test]
fn a_broken_file_is_not_overwritten() {
    let machine = Machine::new().file("a.json", "{\"auths\":");
    let options = AuthOptions { authfile: Some(machine.path("a.json")), compat_authfile: None };
    assert!(log_in(&machine, &options, "h").contains("unexpected end of JSON input"));
    assert_eq!(machine.read("a.json"), "{\"auths\":");
}

#[test]
fn what_a_login_finds_in_the_old_form_is_kept() {
    let machine = Machine::new().file("own.json", r#"{"h":{"auth":"eDp5"},"other":1}"#);
    let options =
        AuthOptions { authfile: Some(machine.path("own.json")), ..AuthOptions::default() };
    log_in(&machine, &options, "new");
    let text = fs_err::read_to_string(machine.path("own.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["auths"]["h"]["auth"], "eDp5");
    assert!(value["auths"]["new"].is_object() && value.get("h").is_none(), "{text}");
    assert_eq!(value["other"], 1);
}
