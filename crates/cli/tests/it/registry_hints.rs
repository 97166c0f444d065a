//! What is said about an error that users meet, and what they can do.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use skopeo_testkit::{Fault, Home, Image, On, Registry, cannot};

use crate::stage::{SKOPEO, home, sentence, skopeo};

#[test]
fn flags_are_those_of_the_side_that_failed() {
    let private = Registry::builder().htpasswd("user", "secret").start();
    let public = Registry::start();
    Image::new(1).push(&public, "a:v1");
    let home = home(&[&private.host(), &public.host()]);
    let login = format!("`skopeo login {}`", private.host());
    for (words, flag) in [
        (vec!["inspect".to_owned(), private.docker("a:v1")], " --creds "),
        (vec!["list-tags".to_owned(), private.docker("a")], " --creds "),
        (vec!["delete".to_owned(), private.docker("a:v1")], " --creds "),
        (vec!["copy".to_owned(), private.docker("a:v1"), "dir:x".to_owned()], " --src-creds "),
        (vec!["copy".to_owned(), public.docker("a:v1"), private.docker("b:v1")], " --dest-creds "),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let run = skopeo(&home, &words);
        let said = sentence(&run);
        assert!(said.ends_with("authentication required"), "{said}");
        let hint = run.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(hint.contains(flag) && hint.contains(&login), "{hint}");
        assert!(hint.contains("you are not logged in"), "{hint}");
    }
    home.auth(&private.host(), "user", "wrong");
    let run = skopeo(&home, &["inspect", &private.docker("a:v1")]);
    assert!(run.stderr.contains("was \"user\""), "{run}");
}

#[test]
fn verification_is_turned_off_by_the_flag_of_the_side() {
    let registry = Registry::builder().tls().start();
    let home = Home::new();
    let name = registry.docker("a:v1");
    for (words, flag) in [
        (&["inspect", &name][..], " --tls-verify=false"),
        (&["copy", &name, "dir:x"], " --src-tls-verify=false"),
        (&["sync", "--src", "docker", "--dest", "dir", &name[9..], "x"], " --src-tls-verify=false"),
    ] {
        let run = skopeo(&home, words);
        assert!(sentence(&run).contains("x509: certificate signed by unknown authority"), "{run}");
        let hint = run.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(hint.contains(flag) && hint.contains("ca.crt"), "{hint}");
    }
}

#[test]
fn what_is_not_there_is_looked_for() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "team/a:v1");
    let home = home(&[&registry.host()]);
    let run = skopeo(&home, &["inspect", &registry.docker("team/a:v2")]);
    let list = format!("skopeo list-tags {}", registry.docker("team/a"));
    assert!(run.code == Some(2) && run.stderr.contains(&list), "{run}");
    let run = skopeo(&home, &["inspect", "--tls-verify=false", "docker://127.0.0.1:1/a"]);
    assert!(run.stderr.contains("hint: nothing listens at 127.0.0.1:1"), "{run}");
}

#[test]
fn a_proxy_is_named_that_does_not_answer() {
    let home = Home::new().variable("HTTPS_PROXY", "http://user:hush@127.0.0.1:1");
    let run = skopeo(&home, &["inspect", "docker://registry.example/a"]);
    let said = sentence(&run);
    let words = "proxyconnect tcp: dial tcp 127.0.0.1:1: connect: connection refused";
    assert!(said.ends_with(words), "{said}");
    assert!(run.stderr.contains("HTTPS_PROXY") && !run.stderr.contains("hush"), "{run}");
}

/// Who waits for a second or more is told for whom, once each time; who waits for less is not.
#[test]
fn waiting_names_the_registry() {
    let registry = Registry::start();
    Image::new(1).push(&registry, "a:v1");
    let (home, host) = (home(&[&registry.host()]), registry.host());
    let busy = || Fault::status(On::manifests(), 429);
    let unavailable = || Fault::status(On::manifests(), 503);
    for (at, (fault, tries, said)) in [
        (busy().retry_after(1).once(), 2, &["429 Too Many Requests: trying again in 1 s"][..]),
        (unavailable().once(), 2, &[]),
        // After 0.3 and 0.6 seconds comes a pause of 1.2, and up to a quarter of it more.
        (unavailable().times(3), 4, &["503 Service Unavailable: trying again in "]),
        (Fault::hang_up(On::manifests()).once(), 2, &[]),
    ]
    .into_iter()
    .enumerate()
    {
        registry.fault(fault);
        registry.forget_requests();
        let to = format!("dir:{at}");
        let run = skopeo(&home, &["copy", &registry.docker("a:v1"), &to]).success();
        registry.mend();
        assert_eq!(registry.count(&On::manifests()), tries, "{:?}", registry.lines());
        let lines: Vec<&str> = run.stderr.lines().filter(|it| it.contains("again")).collect();
        assert_eq!(lines.len(), said.len(), "{run}");
        for (line, said) in lines.into_iter().zip(said) {
            let said = format!("level=info msg=\"registry {host}: {said}");
            assert!(line.contains(&said), "{line:?} is not {said:?}");
        }
        // Who wants to know is told of all of it.
        registry.fault(unavailable().once());
        let run = skopeo(&home, &["--debug", "copy", &registry.docker("a:v1"), &format!("{to}x")]);
        registry.mend();
        let said = format!("level=debug msg=\"registry {host}: 503 Service Unavailable: trying");
        assert!(run.clone().success().stderr.contains(&said), "{run}");
    }
}

#[test]
fn a_credential_file_of_somebody_else_ends_no_public_pull() {
    if !rustix::process::getuid().is_root() {
        cannot!("only root can make what others may not read");
    }
    let registry = Registry::start();
    Image::new(1).push(&registry, "a:v1");
    let home = home(&[&registry.host()]);
    let folder = home.auth_file().parent().unwrap().to_owned();
    fs_err::create_dir_all(&folder).unwrap();
    fs_err::write(home.auth_file(), "{}").unwrap();
    fs_err::set_permissions(&folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    let open = |path: &std::path::Path| {
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    for path in home.path("").ancestors().take(2) {
        open(path);
    }
    let program = home.path("skopeo");
    fs_err::copy(SKOPEO, &program).unwrap();
    let run =
        |words: &[&str]| home.command(&program).uid(65534).gid(65534).args(words).output().unwrap();
    let name = registry.docker("a:v1");
    let public = run(&["inspect", "--no-tags", &name]);
    let said = String::from_utf8_lossy(&public.stderr).into_owned();
    assert!(public.status.success(), "{said}");
    assert!(said.contains("permission denied") && said.contains("--authfile"), "{said}");
    // A file that was named has to be read.
    let named = home.auth_file();
    let named = run(&["inspect", "--authfile", named.to_str().unwrap(), &name]);
    assert!(!named.status.success());
}
