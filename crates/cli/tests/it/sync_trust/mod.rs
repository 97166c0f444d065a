//! What the files may ask for that `sync` takes its orders from.

mod report_file;

use serde_json::{Value, json};
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run};

use crate::program::{at_home, fatal};
use crate::sync_names::{images_in, two};

/// A registry without TLS whose credentials are known, and nobody has said that it has no TLS.
fn world() -> (Registry, Home) {
    let (from, home) = (Registry::builder().htpasswd("user", "secret").start(), Home::new());
    Image::new(1).write_dir(&home.path("work/image"));
    let push = ["copy", "-q", "--dest-tls-verify=false", "--dest-creds=user:secret"];
    at_home(&home, &[&push[..], &["dir:image", &from.docker("a:1")]].concat()).success();
    home.auth(&from.host(), "user", "secret");
    from.forget_requests();
    (from, home)
}

/// A plan as `--dry-run` writes them.
fn plan(from: &Registry) -> Value {
    json!({
        "version": 1, "command": "sync", "ok": true,
        "plan": {"places": [{"place": "dir:out"}], "platforms": [], "flags": {}},
        "results": [{
            "type": "plan", "outcome": "new", "source": from.docker("a:1"),
            "destination": "dir:out/a:1", "source_digest": null, "destination_digest": null,
            "place": "dir:out", "lists": "system",
        }],
    })
}

fn execute(home: &Home, plan: &Value, words: &[&str]) -> Run {
    fs_err::write(home.path("work/plan.json"), plan.to_string()).unwrap();
    at_home(home, &[&["sync", "--plan=plan.json"], words].concat())
}

#[track_caller]
fn nothing_was_said_to(from: &Registry) {
    let told = from.requests().iter().any(|seen| !seen.header("authorization").is_empty());
    assert!(!told, "credentials went over plain HTTP: {:?}", from.lines());
}

#[test]
fn a_plan_lowers_nothing_by_itself() {
    let (from, home) = world();
    let with = |pointer: &str, key: &str, value: Value| {
        let mut plan = plan(&from);
        plan.pointer_mut(pointer).unwrap()[key] = value;
        plan
    };
    let results = "/results/0";
    for (plan, flag, said) in [
        (with(results, "tls_verify", json!(false)), "--src-tls-verify=false", "verify TLS of"),
        (
            with("/plan/flags", "src-tls-verify", json!(false)),
            "--src-tls-verify=false",
            "all sources",
        ),
        (with("/plan/places/0", "tls_verify", json!(false)), "--dest-tls-verify=false", "dir:out"),
        (
            with("/plan/flags", "dest-tls-verify", json!(false)),
            "--dest-tls-verify=false",
            "all destinations",
        ),
        (with(results, "cert_dir", json!("/tmp/c")), "--src-cert-dir=/tmp/c", "certificates for"),
        (with("/plan/flags", "src-cert-dir", json!("/tmp/c")), "--src-cert-dir=/tmp/c", "/tmp/c"),
        (with("/plan/places/0", "cert_dir", json!("/tmp/c")), "--dest-cert-dir=/tmp/c", "/tmp/c"),
    ] {
        let run = execute(&home, &plan, &[]).failure(1);
        assert!(fatal(&run).contains("lowers what this command line asks for"), "{run}");
        assert!(fatal(&run).contains(said) && run.stderr.contains("--trust-file"), "{run}");
        assert!(from.requests().is_empty() && !home.path("work/out").exists());
        // With the flag, or with all that is in the file, the question is answered.
        for flag in [flag, "--trust-file"] {
            let run = execute(&home, &plan, &[flag]);
            assert!(!run.stderr.contains("lowers what this command line"), "{run}");
            if said == "verify TLS of" {
                run.success();
                assert!(home.path("work/out/a:1/manifest.json").exists());
            }
            let _ = fs_err::remove_dir_all(home.path("work/out"));
            from.forget_requests();
        }
    }
    let run = execute(&home, &plan(&from), &[]).failure(1);
    assert!(!fatal(&run).contains("lowers"), "{run}");
    nothing_was_said_to(&from);
}

#[test]
fn a_plan_writes_into_its_places_only() {
    let (from, home) = world();
    for (destination, place) in [
        ("dir:elsewhere", "dir:out"),
        ("dir:out", "dir:out"),
        ("dir:out/../elsewhere", "dir:out"),
        ("dir:outer/a:1", "dir:out"),
        ("dir:/tmp/skopeo-elsewhere/a:1", "dir:out"),
        ("oci:out:a:1", "dir:out"),
        ("oci:elsewhere:a:1", "oci:out"),
        ("oci:out/../elsewhere:a:1", "oci:out"),
        ("oci-archive:elsewhere.tar:a:1", "oci-archive:out.tar"),
        ("docker://evil.example/m/a:1", "docker://r.example/m"),
        ("docker://r.example/a:1", "docker://r.example/m"),
        ("docker://r.example/mm/a:1", "docker://r.example/m"),
    ] {
        let mut plan = plan(&from);
        plan["plan"]["places"][0]["place"] = json!(place);
        plan["results"][0]["place"] = json!(place);
        plan["results"][0]["destination"] = json!(destination);
        let run = execute(&home, &plan, &["--src-tls-verify=false", "--trust-file"]).failure(1);
        let said = format!("{destination} is not in {place}");
        assert!(fatal(&run).contains(&said), "{said} {run}");
        assert!(from.requests().is_empty());
    }
    let mut other = plan(&from);
    other["results"][0]["place"] = json!("dir:elsewhere");
    let run = execute(&home, &other, &[]).failure(1);
    assert!(fatal(&run).contains("is not one of the places of the plan"), "{run}");
    for source in ["docker-daemon:a:1", "tarball:/etc/passwd", "sif:x.sif"] {
        let mut plan = plan(&from);
        plan["results"][0]["source"] = json!(source);
        let run = execute(&home, &plan, &[]).failure(1);
        assert!(fatal(&run).contains("is nothing that sync reads from"), "{run}");
    }
    let names = fs_err::read_dir(home.path("work")).unwrap().count();
    assert_eq!(names, 2, "the image and the plan");
}

#[test]
fn credentials_are_for_one_registry() {
    let (from, home) = world();
    let mut plan = plan(&from);
    let mut second = plan["results"][0].clone();
    second["source"] = json!("docker://evil.example/a:2");
    second["destination"] = json!("dir:out/a:2");
    plan["results"].as_array_mut().unwrap().push(second);
    let words = ["--src-creds=user:secret", "--src-tls-verify=false", "--trust-file"];
    let run = execute(&home, &plan, &words).failure(1);
    assert!(fatal(&run).contains("the credentials are for one"), "{run}");
    assert!(from.requests().is_empty());
}

/// A file chooses no registry that the credentials of the command line go to.
#[test]
fn credentials_go_where_the_command_line_says() {
    let (from, home) = world();
    let listening = Registry::start();
    let (evil, tls) = (listening.host(), ["--src-tls-verify=false", "--dest-tls-verify=false"]);
    // As if somebody had put another host into the report of a run.
    let sync = ["sync", "--src=docker", "--dest=docker", "--report=r.json", "--keep-going"];
    from.fault(Fault::status(On::manifests().any_method(), 404));
    let ends = [format!("{}/a", from.host()), format!("{evil}/m")];
    let ends = ends.each_ref().map(String::as_str);
    at_home(&home, &[&sync[..], &tls[..], &ends[..]].concat()).failure(1);
    from.mend();
    let report = fs_err::read_to_string(home.path("work/r.json")).unwrap();
    let report = report.replace(&from.host(), &evil);
    fs_err::write(home.path("work/r.json"), &report).unwrap();
    let mut plan = plan(&from);
    plan["plan"]["places"][0]["place"] = json!(format!("docker://{evil}/m"));
    plan["results"][0]["place"] = json!(format!("docker://{evil}/m"));
    plan["results"][0]["destination"] = json!(format!("docker://{evil}/m/a:1"));
    plan["results"][0]["source"] = json!(format!("docker://{evil}/a:1"));
    fs_err::write(home.path("work/plan.json"), plan.to_string()).unwrap();
    listening.forget_requests();
    for file in ["--plan=plan.json", "--retry-failed=r.json"] {
        for given in [
            &["--src-creds=user:secret"][..],
            &["--screds=user:secret"],
            &["--src-username=user", "--src-password=secret"],
            &["--src-registry-token=secret"],
            &["--dest-creds=user:secret"],
            &["--dcreds=user:secret"],
            &["--dest-username=user", "--dest-password=secret"],
            &["--dest-registry-token=secret"],
        ] {
            let words = [&["sync", file], &tls[..], given].concat();
            let run = at_home(&home, &words).failure(1);
            let said = format!("sent to {evil}");
            assert!(fatal(&run).contains(&said) && run.stderr.contains("--trust-file"), "{run}");
            assert!(listening.requests().is_empty(), "{given:?}: {:?}", listening.lines());
            // Who trusts the file says so.
            let run = at_home(&home, &[&words[..], &["--trust-file"]].concat());
            assert!(run.code != Some(0) && !run.stderr.contains("lowers"), "{run}");
            assert!(!listening.requests().is_empty());
            listening.forget_requests();
        }
        // What is known of a registry by its name goes to it, and to no other.
        let run = at_home(&home, &[&["sync", file], &tls[..]].concat());
        assert!(run.code != Some(0) && !listening.requests().is_empty(), "{run}");
        nothing_was_said_to(&listening);
        listening.forget_requests();
    }
}

#[test]
fn a_report_lowers_nothing_by_itself() {
    let (from, home) = world();
    let sync = ["sync", "--src=docker", "--dest=dir", "--src-tls-verify=false", "--report=r.json"];
    let source = format!("{}/a", from.host());
    from.fault(Fault::status(On::manifests().any_method(), 404));
    at_home(&home, &[&sync[..], &["--keep-going", &source, "out"]].concat()).failure(1);
    from.mend();
    from.forget_requests();
    let again =
        |words: &[&str]| at_home(&home, &[&["sync", "--retry-failed=r.json"], words].concat());
    let run = again(&[]).failure(1);
    assert!(
        fatal(&run).contains("it does not verify TLS of its registries (--src-tls-verify=false)"),
        "{run}"
    );
    assert!(from.requests().is_empty());
    let text = fs_err::read_to_string(home.path("work/r.json")).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut report = report.clone();
        change(&mut report);
        fs_err::write(home.path("work/r.json"), report.to_string()).unwrap();
    };
    for (key, said) in [
        ("authfile", "credentials from"),
        ("src-authfile", "credentials from"),
        ("dest-cert-dir", "certificates from"),
    ] {
        with(&|report| report["options"][key] = json!("/tmp/x"));
        let run = again(&["--src-tls-verify=false"]).failure(1);
        assert!(fatal(&run).contains(said), "{run}");
    }
    for (place, destination, said) in [
        ("dir:out", "dir:elsewhere/a:1", "is not in dir:out"),
        ("dir:elsewhere", "dir:elsewhere/a:1", "is no place of the run"),
        ("docker://evil.example", "docker://evil.example/a:1", "is no place of the run"),
    ] {
        with(&|report| {
            report["images"][0]["place"] = json!(place);
            report["images"][0]["destination"] = json!(destination);
        });
        let run = again(&["--src-tls-verify=false"]).failure(1);
        assert!(fatal(&run).contains(said), "{run}");
    }
    assert!(from.requests().is_empty());
    with(&|_| {});
    again(&["--trust-file"]).success();
    fs_err::remove_dir_all(home.path("work/out")).unwrap();
    again(&["--src-tls-verify=false"]).success();
    assert!(home.path("work/out/a:1/manifest.json").exists());
}

#[test]
fn what_a_file_has_decided_no_flag_decides() {
    let (from, home) = world();
    for flag in [
        "--include=x",
        "--exclude=x",
        "--semver=1",
        "--since=1d",
        "--newest=1",
        "--explain",
        "--repos=x",
        "--prefix=x",
        "--scoped",
        "--preserve-path",
        "--strip-prefix=x",
        "--append-suffix=x",
        "--prepend-image-suffix=x",
        "--dest-template=x",
        "--platform=linux/s390x",
        "--all",
        "--shard=1/2",
        "--to=dir:x",
        "--src=docker",
        "--dest=dir",
        "--lock=l",
        "--locked=l",
    ] {
        let name = flag.split('=').next().unwrap();
        let run = execute(&home, &plan(&from), &[flag]).failure(1);
        let said = format!("{name} cannot be used with --plan, which decides this");
        assert_eq!(fatal(&run), said);
    }
    let sync = ["sync", "--src=docker", "--dest=dir", "--src-tls-verify=false", "--report=r.json"];
    at_home(&home, &[&sync[..], &[&format!("{}/a", from.host()), "out"]].concat()).success();
    for flag in [
        "--include=x",
        "--newest=1",
        "--prefix=x",
        "--all",
        "--platform=linux/s390x",
        "--shard=1/2",
    ] {
        let name = flag.split('=').next().unwrap();
        let words = ["sync", "--retry-failed=r.json", "--src-tls-verify=false", flag];
        let run = at_home(&home, &words).failure(1);
        let said = format!("{name} cannot be used with --retry-failed, whose report decides this");
        assert_eq!(fatal(&run), said);
    }
}

#[test]
fn malformed_files_are_refused() {
    let (from, _, home) = two();
    let deep = "[".repeat(200_000);
    let plan = plan(&from).to_string();
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(100_000));
    let source = format!("{}/a", from.host());
    let ends = ["--src=docker", "--dest=dir", &source, "out"];
    for text in [
        "".to_owned(),
        "\u{0}".to_owned(),
        "[]".to_owned(),
        "{\"version\":-1}".to_owned(),
        "{\"version\":1e400,\"command\":\"sync\"}".to_owned(),
        format!("{{\"version\":1,\"command\":\"sync\",\"x\":{deep}"),
        plan.replace("\"results\":[", &format!("\"results\":[{long},")),
        plan.replace("\"platforms\":[]", "\"platforms\":[{\"os\":7}]"),
        plan.replace("\"flags\":{}", "\"flags\":{\"src-creds\":\"a:b\"}"),
        plan.replace("\"flags\":{}", "\"flags\":{\"format\":[]}"),
        plan.replace("\"lists\":\"system\"", "\"lists\":\"///\""),
        plan.replace("dir:out", "dir:"),
    ] {
        fs_err::write(home.path("work/file"), &text).unwrap();
        let run = at_home(&home, &["sync", "--plan=file"]).failure(1);
        assert!(!run.stderr.contains("panicked"), "{run}");
        at_home(&home, &["sync", "--retry-failed=file"]).failure(1);
        at_home(&home, &["sync", "report", "merge", "file"]).failure(1);
        at_home(&home, &[&["sync", "--locked=file"], &ends[..]].concat()).failure(1);
    }
    fs_err::write(home.path("work/file"), [0xff, 0xfe, b'{']).unwrap();
    for words in [
        &["--plan=file"][..],
        &["--retry-failed=file"],
        &["--src=yaml", "--dest=dir", "file", "out"],
    ] {
        at_home(&home, &[&["sync"], words].concat()).failure(1);
    }
    assert!(from.requests().is_empty());
}
