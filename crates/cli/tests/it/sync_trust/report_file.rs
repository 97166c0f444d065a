//! The file that a report names.

use super::*;

#[test]
fn a_file_that_only_a_report_names_lowers_nothing() {
    let (from, home) = world();
    let to = Registry::start();
    home.insecure(&[&to.host()]);
    let (host, place) = (from.host(), to.host());
    let one = format!("{host}:\n  LOWER\n  images:\n    a: ['1']\n");
    let two = format!(
        "version: 2\nregistries:\n  {host}:\n    LOWER\nimages:\n- from: docker://{host}/a:1\n"
    );
    for text in [one, two] {
        // A run of which the image fails.
        home.write("work/s.yaml", &text.replace("LOWER", "tls-verify: false"));
        from.fault(Fault::status(On::manifests().any_method(), 404));
        let words = ["sync", "--keep-going", "--report=r.json", "--src=yaml", "--dest=docker"];
        at_home(&home, &[&words[..], &["s.yaml", &place]].concat()).failure(1);
        from.mend();
        from.forget_requests();
        let again =
            |words: &[&str]| at_home(&home, &[&["sync", "--retry-failed=r.json"], words].concat());
        for (lower, said) in [
            (
                "tls-verify: false",
                format!("it does not verify TLS of {host} (--src-tls-verify=false)"),
            ),
            ("cert-dir: /tmp/c", format!("it takes certificates for {host} from \\\"/tmp/c\\\"")),
        ] {
            home.write("work/s.yaml", &text.replace("LOWER", lower));
            let run = again(&[]).failure(1);
            assert!(run.stderr.contains(&said) && run.stderr.contains("--trust-file"), "{run}");
            assert!(from.requests().is_empty());
        }
        nothing_was_said_to(&from);
        // Without that, no flag is needed.
        home.write("work/s.yaml", &text.replace("LOWER", "tls-verify: true"));
        let run = again(&[]).failure(1);
        assert!(!run.stderr.contains("lowers"), "{run}");
        home.write("work/s.yaml", &text.replace("LOWER", "tls-verify: false"));
        again(&["--trust-file"]).success();
        again(&["--src-tls-verify=false"]).success();
    }
}

/// Runs a file of version 2 that copies from one registry to another, each with its keys, until the
/// image fails.
fn failed(home: &Home, from: &Registry, to: &Registry, keys: (&str, &str)) {
    let (from_host, to_host) = (from.host(), to.host());
    write(home, from, to, keys);
    let place = format!("docker://{to_host}/m");
    let fault = On::manifests().any_method().containing("/v2/a/");
    from.fault(Fault::status(fault, 404));
    let words = ["sync", "--keep-going", "--report=r.json", "--src=yaml", "s.yaml"];
    at_home(home, &words).failure(1);
    from.mend();
    let text = fs_err::read_to_string(home.path("work/r.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let image = &report["images"][0];
    let told = (image["source"].as_str().unwrap(), image["place"].as_str().unwrap());
    assert_eq!(told, (format!("docker://{from_host}/a:1").as_str(), place.as_str()), "{report}");
    from.forget_requests();
    to.forget_requests();
}

/// The file of such a run.
fn write(home: &Home, from: &Registry, to: &Registry, (source, destination): (&str, &str)) {
    let (from, to) = (from.host(), to.host());
    let text = format!(
        "version: 2
registries:
  {from}: {{{source}}}
  {to}: {{{destination}}}
  elsewhere.example: {{credentials: {{username: '${{ELSEWHERE:-}}'}}}}
images:
- {{from: 'docker://{from}/a:1', into: 'docker://{to}/m'}}
"
    );
    home.write("work/s.yaml", &text);
}

#[test]
fn such_a_file_lowers_nothing_of_its_destination() {
    let (from, home) = world();
    let to = Registry::builder().htpasswd("user", "secret").start();
    let auth = json!({"auth": "dXNlcjpzZWNyZXQ="});
    let auths = json!({"auths": {from.host(): auth, to.host(): auth}});
    home.write("run/containers/auth.json", &auths.to_string());
    let (open, place) = ("tls-verify: false", format!("docker://{}/m", to.host()));
    failed(&home, &from, &to, (open, open));
    let again = |words: &[&str]| {
        let sync = ["sync", "--retry-failed=r.json", "--src-tls-verify=false"];
        at_home(&home, &[&sync[..], words].concat())
    };
    for (lower, flag, said) in [
        (
            open,
            "--dest-tls-verify=false",
            format!("it does not verify TLS of {place} (--dest-tls-verify=false)"),
        ),
        (
            "cert-dir: /tmp/c",
            "--dest-cert-dir=/tmp/c",
            format!("it takes certificates for {place} from \"/tmp/c\" (--dest-cert-dir)"),
        ),
    ] {
        write(&home, &from, &to, (open, lower));
        // A flag of the other side is no answer.
        let other = flag.replace("--dest", "--src");
        for words in [&[][..], &[other.as_str()]] {
            let run = again(words).failure(1);
            assert!(fatal(&run).contains(&said) && run.stderr.contains("--trust-file"), "{run}");
        }
        assert!(from.requests().is_empty() && to.requests().is_empty());
        for answer in [flag, "--trust-file"] {
            let run = again(&[answer]);
            assert!(!run.stderr.contains("lowers what this command line"), "{run}");
            assert_eq!(run.code == Some(0), lower == open, "{run}");
            if lower == open {
                assert!(images_in(&to) == "m/a:1" && !to.requests().is_empty(), "{run}");
            }
            to.forget_requests();
        }
        from.forget_requests();
    }
}

#[test]
fn such_a_file_sends_nothing_of_the_environment() {
    let (from, home) = world();
    let home = home.variable("ONE_SECRET", "secret").variable("ONE_USER", "user");
    let to = Registry::builder().htpasswd("user", "secret").start();
    home.insecure(&[&from.host(), &to.host()]);
    home.write("run/containers/auth.json", "{}");
    let plain = "credentials: {username: user, password: secret}";
    let filled = "credentials: {username: '${ONE_USER}', password: '${ONE_SECRET:-secret}'}";
    let again =
        |words: &[&str]| at_home(&home, &[&["sync", "--retry-failed=r.json"], words].concat());
    for (keys, host) in [((filled, plain), from.host()), ((plain, filled), to.host())] {
        failed(&home, &from, &to, keys);
        let run = again(&[]).failure(1);
        for name in ["ONE_USER", "ONE_SECRET"] {
            let said = format!("it takes credentials for {host} from the environment ({name})");
            assert!(fatal(&run).contains(&said), "{run}");
        }
        assert!(run.stderr.contains("--trust-file") && !run.stderr.contains("ELSEWHERE"), "{run}");
        assert!(from.requests().is_empty() && to.requests().is_empty(), "{run}");
        let run = again(&["--trust-file"]).success();
        assert!(run.stderr.contains("(ONE_SECRET)"), "{run}");
        // What is written in the file itself is of who wrote it.
        write(&home, &from, &to, (plain, plain));
        let run = again(&[]).success();
        assert!(!run.stderr.contains("lowers"), "{run}");
    }
    // Who names the file trusts it.
    write(&home, &from, &to, (filled, filled));
    at_home(&home, &["sync", "--src=yaml", "s.yaml"]).success();
}
