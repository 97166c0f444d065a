//! Deletions in plans of `sync`.

use serde_json::{Value, json};
use skopeo_testkit::{Home, Image, On, Registry, Run};

use crate::program::{at_home, fatal};
use crate::sync_names::{images_in, two};

/// A source with 1, 2 and new, and a mirror with 1, 2, 3 and 4, where 2 is another image.
fn world() -> (Registry, Registry, Home) {
    let (from, to, home) = two();
    for (seed, tag) in [(1, "1"), (2, "2"), (6, "new")] {
        Image::new(seed).push(&from, &format!("a:{tag}"));
    }
    for (seed, tag) in [(1, "1"), (5, "2"), (3, "3"), (4, "4")] {
        Image::new(seed).push(&to, &format!("m/a:{tag}"));
    }
    (from, to, home)
}

fn dry(home: &Home, from: &Registry, place: &str, words: &[&str]) -> Run {
    let source = format!("{}/a", from.host());
    let kind = if place.contains('.') { "--dest=docker" } else { "--dest=dir" };
    let ends = ["sync", "--src=docker", kind, "--delete", "--dry-run", &source, place];
    at_home(home, &[&ends, words].concat())
}

/// Makes a plan, perhaps another than it would be.
fn plan(
    home: &Home,
    from: &Registry,
    place: &str,
    words: &[&str],
    change: impl FnOnce(&mut Value),
) {
    let run = dry(home, from, place, &[&["--output=json"], words].concat()).success();
    let mut json = run.json();
    change(&mut json);
    fs_err::write(home.path("work/plan.json"), json.to_string()).unwrap();
}

fn execute(home: &Home, words: &[&str]) -> Run {
    at_home(home, &[&["sync", "--plan=plan.json"], words].concat())
}

#[test]
fn what_a_plan_deletes_is_deleted() {
    let (from, to, home) = world();
    let place = format!("{}/m", to.host());
    plan(&home, &from, &place, &["--report=dry.json"], |plan| {
        assert_eq!(plan["plan"]["sum"]["delete"], 2);
        let deletions: Vec<_> = plan["results"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["type"] == "delete")
            .map(|it| (it["image"].clone(), it["digest"].clone(), it["place"].clone()))
            .collect();
        let expected = [(3, "3"), (4, "4")].map(|(seed, tag)| {
            let name = to.docker(&format!("m/a:{tag}"));
            let digest = Image::new(seed).digest().to_string();
            (json!(name), json!(digest), json!(format!("docker://{place}")))
        });
        assert_eq!(deletions, expected);
    });
    let file = fs_err::read(home.path("work/dry.json")).unwrap();
    let report: Value = serde_json::from_slice(&file).unwrap();
    let totals = &report["totals"];
    let shown = ["would_copy", "unchanged", "would_delete"].map(|name| totals[name].clone());
    assert_eq!(shown, [json!(2), json!(1), json!(2)]);
    // What is too much since then is not in the plan.
    Image::new(9).push(&to, "m/a:9");
    let run = execute(&home, &["--dry-run"]).success();
    assert!(run.stdout.contains("1 new, 1 changed, 1 unchanged, 2 to delete"), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:3 m/a:4 m/a:9");
    let run = execute(&home, &["--report=done.json"]).success();
    assert!(run.stderr.contains("Deleted 2 images"), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:9 m/a:new");
    let file = fs_err::read(home.path("work/done.json")).unwrap();
    let report: Value = serde_json::from_slice(&file).unwrap();
    assert_eq!(report["totals"]["deleted"], 2);
    // Once more: it is not there any more.
    let run = execute(&home, &["--delete"]).success();
    assert!(run.stderr.contains("a:3 is not there any more"), "{run}");
    assert!(run.stderr.contains("Deleted 0 images"), "{run}");
}

#[test]
fn a_dry_run_shows_deletions_and_tells_copies_from_what_is_there() {
    let (from, to, home) = world();
    let run = dry(&home, &from, &format!("{}/m", to.host()), &[]).success();
    for tag in ["3", "4"] {
        let name = to.docker(&format!("m/a:{tag}"));
        let row = run.stdout.lines().find(|line| line.ends_with(&name)).unwrap();
        assert!(row.starts_with("delete "), "{run}");
    }
    assert!(run.stdout.contains("1 new, 1 changed, 1 unchanged, 2 to delete: "), "{run}");
    assert_eq!(run.stderr.matches("Would have copied image ref").count(), 2, "{run}");
    let skipped = "Would have skipped image ref 1/3: it is unchanged";
    assert!(run.stderr.contains(skipped), "{run}");
}

#[test]
fn guards_are_judged_again() {
    let cases: [(&[&str], &[&str], i32, &str); 8] = [
        (&[], &["--protect=^3$"], 0, "1 2 3 new"),
        (&["--protect=^3$"], &["--protect=^4$"], 0, "1 2 3 4 new"),
        (&[], &["--max-delete=1"], 1, "1 2 3 4 new"),
        (&["--max-delete=2"], &[], 0, "1 2 new"),
        (&["--max-delete=50%"], &["--max-delete=49%"], 1, "1 2 3 4 new"),
        (&["--max-delete=2"], &["--max-delete=100%"], 0, "1 2 new"),
        (&[], &["--delete=false"], 0, "1 2 3 4 new"),
        (&[], &["--delete"], 0, "1 2 new"),
    ];
    for (then, now, code, left) in cases {
        let (from, to, home) = world();
        plan(&home, &from, &format!("{}/m", to.host()), then, |_| {});
        let run = execute(&home, now);
        assert_eq!(run.code, Some(code), "{then:?} {now:?} {run}");
        let left: Vec<String> = left.split(' ').map(|tag| format!("m/a:{tag}")).collect();
        assert_eq!(images_in(&to), left.join(" "), "{then:?} {now:?}");
    }
    // Percents are of what is there now.
    let (from, to, home) = world();
    plan(&home, &from, &format!("{}/m", to.host()), &["--max-delete=50%"], |_| {});
    at_home(&home, &["delete", "--tag-only", &to.docker("m/a:1")]).success();
    let run = execute(&home, &[]).failure(1);
    assert!(fatal(&run).contains("2 of 3 images"), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:3 m/a:4 m/a:new");
    // What could not be copied keeps all.
    let (from, to, home) = world();
    plan(&home, &from, &format!("{}/m", to.host()), &[], |_| {});
    to.fault(skopeo_testkit::Fault::status(On::manifests().method("PUT").containing("new"), 403));
    let run = execute(&home, &["--keep-going"]).failure(1);
    assert!(run.stderr.contains("Not deleting anything"), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:3 m/a:4");
}

#[test]
fn what_moved_since_it_was_planned_stays() {
    let (from, to, home) = world();
    plan(&home, &from, &format!("{}/m", to.host()), &[], |_| {});
    Image::new(8).push(&to, "m/a:3");
    let run = execute(&home, &[]).failure(1);
    let said = format!("Not deleting {}: it has moved since it was planned", to.docker("m/a:3"));
    assert!(run.stderr.contains(&said), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:3 m/a:new");

    // In a folder and a layout, too.
    for kind in ["dir", "oci"] {
        let (from, _, home) = two();
        for seed in [1, 2, 3] {
            Image::new(seed).push(&from, &format!("a:{seed}"));
        }
        let source = format!("{}/a", from.host());
        let sync = |words: &[&str]| {
            let ends =
                ["sync", "--src=docker", "--dest", kind, "--preserve-path", &source, "place"];
            at_home(&home, &[&ends, words].concat())
        };
        sync(&[]).success();
        for tag in ["2", "3"] {
            at_home(&home, &["delete", "--tag-only", &from.docker(&format!("a:{tag}"))]).success();
        }
        let plan = sync(&["--delete", "--dry-run", "--output=json"]).success().stdout;
        fs_err::write(home.path("work/plan.json"), plan).unwrap();
        let name = |tag: &str| match kind {
            "dir" => format!("dir:place/a:{tag}"),
            _ => format!("oci:place:a:{tag}"),
        };
        Image::new(8).write_dir(&home.path("work/other"));
        at_home(&home, &["copy", "-q", "dir:other", &name("3")]).success();
        let run = execute(&home, &[]).failure(1);
        let said = format!("Not deleting {}: it has moved", name("3"));
        assert!(run.stderr.contains(&said), "{run}");
        at_home(&home, &["inspect", &name("3")]).success();
        assert_ne!(at_home(&home, &["inspect", &name("2")]).code, Some(0));
    }
}

#[test]
fn a_plan_deletes_nothing_that_it_should_not() {
    let (from, to, home) = world();
    let place = format!("{}/m", to.host());
    Image::new(3).push(&to, "other/b:3");
    let three = to.docker("m/a:3");
    let change = |from: &str, to: &str| {
        let (from, to) = (from.to_owned(), to.to_owned());
        move |plan: &mut Value| {
            let text = plan.to_string();
            assert!(text.contains(&from), "{text}");
            *plan = serde_json::from_str(&text.replace(&from, &to)).unwrap();
        }
    };
    // Elsewhere: it is not looked at.
    plan(&home, &from, &place, &[], change(&three, &to.docker("other/b:3")));
    let run = execute(&home, &[]).success();
    assert!(run.stderr.contains("other/b:3 is not there any more"), "{run}");
    assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:3 m/a:new other/b:3");
    // What it writes.
    let (from, to, home) = world();
    let place = format!("{}/m", to.host());
    let three = to.docker("m/a:3");
    plan(&home, &from, &place, &[], change(&three, &to.docker("m/a:1")));
    let run = execute(&home, &[]).failure(1);
    assert!(fatal(&run).contains("is both written and deleted"), "{run}");
    for (from_text, to_text, sentence) in [
        ("\"repository\":\"a\"", "\"repository\":\"../other/a\"", "leads out of"),
        ("\"delete\":{\"max", "\"undelete\":{\"max", "does not say how they were chosen"),
    ] {
        plan(&home, &from, &place, &[], change(from_text, to_text));
        let run = execute(&home, &[]).failure(1);
        assert!(fatal(&run).contains(sentence), "{run}");
        assert_eq!(images_in(&to), "m/a:1 m/a:2 m/a:3 m/a:4");
    }
    // Nothing is known of deletions.
    let source = format!("{}/a", from.host());
    let words = ["sync", "--src=docker", "--dest=docker", "--dry-run", "--output=json"];
    let run = at_home(&home, &[&words[..], &[&source, &place]].concat()).success();
    fs_err::write(home.path("work/plan.json"), run.stdout).unwrap();
    for flag in ["--delete", "--max-delete=1", "--protect=x"] {
        let run = execute(&home, &[flag]).failure(1);
        assert!(fatal(&run).contains("the plan was made without --delete"), "{run}");
    }
}
