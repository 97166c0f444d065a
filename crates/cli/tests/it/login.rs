//! `skopeo login` and `skopeo logout`.

use serde_json::{Value, json};
use skopeo_testkit::{Home, Registry, Run, run::run_with_input};

use crate::program::{at_home, fatal};

const INSECURE: &str = "--tls-verify=false";

fn start() -> (Home, Registry) {
    (Home::new(), Registry::builder().htpasswd("user", "secret").start())
}

fn with_input(home: &Home, arguments: &[&str], input: &str) -> Run {
    run_with_input(home, env!("CARGO_BIN_EXE_skopeo"), arguments, input.as_bytes())
}

fn auth_file(home: &Home) -> Value {
    serde_json::from_slice(&fs_err::read(home.auth_file()).unwrap()).unwrap()
}

#[test]
fn keeps_what_the_registry_accepts() {
    let (home, registry) = start();
    let host = registry.host();
    let login = ["login", INSECURE, "-u", "user", "-p", "secret", &host];
    assert_eq!(at_home(&home, &login).success().stdout, "Login Succeeded!\n");
    assert_eq!(auth_file(&home), json!({"auths": {&host: {"auth": "dXNlcjpzZWNyZXQ="}}}));
    let who = at_home(&home, &["login", "--get-login", &host]).success();
    assert_eq!(who.stdout, "user\n");
    let again = at_home(&home, &["login", INSECURE, &host]).success();
    let sentences = format!(
        "Authenticating with existing credentials for {host}\n\
         Existing credentials are valid. Already logged in to {host}\n"
    );
    assert_eq!(again.stdout, sentences);
    let out = at_home(&home, &["logout", &host]).success();
    assert_eq!(out.stdout, format!("Removed login credentials for {host}\n"));
    assert_eq!(auth_file(&home), json!({"auths": {}}));
    for words in [&["logout", &host][..], &["login", "--get-login", &host]] {
        let run = at_home(&home, words).failure(1);
        assert_eq!(fatal(&run), format!("not logged into {host}"));
    }
}

#[test]
fn keeps_nothing_else() {
    let (home, registry) = start();
    let host = registry.host();
    let run = at_home(&home, &["login", INSECURE, "-u", "user", "-p", "wrong", &host]).failure(1);
    assert_eq!(fatal(&run), format!("logging into \"{host}\": invalid username/password"));
    assert!(!home.auth_file().exists());
    // Nobody listens there.
    let run = at_home(&home, &["login", "-u", "u", "-p", "p", "127.0.0.1:1"]).failure(1);
    assert!(fatal(&run).starts_with("authenticating creds for \"127.0.0.1:1\": "), "{run}");
}

#[test]
fn passwords_come_from_stdin() {
    let (home, registry) = start();
    let host = registry.host();
    let words = ["login", INSECURE, "-u", "user", "--password-stdin", "-v", &host];
    let run = with_input(&home, &words, "secret\n").success();
    let used = format!("Used:  {}\nLogin Succeeded!\n", home.auth_file().display());
    assert_eq!(run.stdout, used);
    for (words, sentence) in [
        (
            &["-u", "user", "-p", "x", "--password-stdin"][..],
            "can't specify both --password-stdin and --password",
        ),
        (&["--password-stdin"], "must provide --username with --password-stdin"),
    ] {
        let words = [&["login", INSECURE, &host], words].concat();
        assert_eq!(fatal(&with_input(&home, &words, "secret").failure(1)), sentence);
    }
}

#[test]
fn asks_for_what_it_is_not_told() {
    let (home, registry) = start();
    let host = registry.host();
    let words = ["login", INSECURE, "-p", "secret", &host];
    let run = with_input(&home, &words, "user\n").success();
    assert_eq!(run.stdout, "Username: Login Succeeded!\n");
    let run = with_input(&Home::new(), &words, "").failure(1);
    assert_eq!(fatal(&run), "getting username and password: reading username: EOF");
    // Without a terminal there is no silent place to ask.
    let words = ["login", INSECURE, "-u", "user", &host];
    let run = with_input(&Home::new(), &words, "secret\n").failure(1);
    let sentence =
        "getting username and password: reading password: inappropriate ioctl for device";
    assert_eq!((run.stdout.as_str(), fatal(&run).as_str()), ("Password: ", sentence));
}

#[test]
fn files_are_those_that_are_named() {
    let (home, registry) = start();
    let host = registry.host();
    let login = ["login", INSECURE, "-u", "user", "-p", "secret", &host];
    at_home(&home, &[&login[..], &["--authfile", "own.json"]].concat()).success();
    at_home(&home, &[&login[..], &["--compat-auth-file", "docker.json"]].concat()).success();
    assert!(home.path("work/own.json").exists() && home.path("work/docker.json").exists());
    assert!(!home.auth_file().exists());
    let both = [&login[..], &["--authfile", "a", "--compat-auth-file", "b"]].concat();
    let sentence = "options for paths to the credential file and to the Docker-compatible credential \
                    file can not be set simultaneously";
    assert_eq!(fatal(&at_home(&home, &both).failure(1)), sentence);
    at_home(&home, &["logout", "--all", "--authfile", "own.json"]).success();
    let run = at_home(&home, &["logout", "--authfile", "none.json", &host]).failure(1);
    assert!(fatal(&run).starts_with("credential file is not accessible: "), "{run}");
}

#[test]
fn registries_must_be_named_once() {
    for (words, sentence) in [
        (&["login"][..], "please provide a registry to log in to"),
        (&["login", "a", "b"], "login accepts only one registry to log in to"),
        (&["logout"], "please provide a registry to log out from"),
        (&["logout", "a", "b"], "logout accepts only one registry to log out from"),
        (&["logout", "--all", "a"], "--all takes no arguments"),
    ] {
        assert_eq!(fatal(&at_home(&Home::new(), words).failure(1)), sentence, "{words:?}");
    }
}
