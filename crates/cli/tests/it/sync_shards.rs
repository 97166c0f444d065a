//! Several machines for one mirror: `sync --shard`, in processes of their own and in Slurm.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::Value;
use skopeo_testkit::{Home, Image, Registry, Slurm, cannot};

use crate::program::at_home;
use crate::stage::{SKOPEO, finish, start};

/// How long the jobs of a queue may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A registry with some repositories, the file that names them, and a home in which it is known.
fn source(others: &[&Registry]) -> (Registry, Home, String) {
    let registry = Registry::start();
    let mut names = String::new();
    for repository in 0..9 {
        names.push_str(&format!("    team{}/app{repository}: []\n", repository % 3));
        for tag in 0..3 {
            let image = Image::builder(tag).layers(2).label("of", &repository.to_string()).build();
            image.push(&registry, &format!("team{}/app{repository}:{tag}", repository % 3));
        }
    }
    let home = Home::new();
    let hosts: Vec<String> = others.iter().map(|it| it.host()).chain([registry.host()]).collect();
    home.insecure(&hosts.iter().map(String::as_str).collect::<Vec<_>>());
    home.write("images.yml", &format!("\"{}\":\n  images:\n{names}", registry.host()));
    let file = home.path("images.yml").display().to_string();
    (registry, home, file)
}

/// All tags of a registry with what they lead to.
fn content(registry: &Registry) -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, content: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, content);
            } else if path.ends_with("index.json") {
                let repository = folder.strip_prefix(root).unwrap().display();
                let index: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                for entry in index["manifests"].as_array().unwrap() {
                    let tag = &entry["annotations"]["org.opencontainers.image.ref.name"];
                    let digest = entry["digest"].as_str().unwrap().to_owned();
                    if let Some(tag) = tag.as_str() {
                        content.insert(format!("{repository}:{tag}"), digest);
                    }
                }
            }
        }
    }
    let mut content = BTreeMap::new();
    walk(registry.root(), registry.root(), &mut content);
    content
}

/// The manifests that were written, by tag.
fn written(registry: &Registry) -> Vec<String> {
    let lines = registry.lines().into_iter();
    let mut puts: Vec<String> =
        lines.filter(|line| line.starts_with("PUT ") && line.contains("/manifests/")).collect();
    puts.sort();
    puts
}

const COUNT: usize = 4;

#[test]
fn shards_together_do_what_one_run_does() {
    let (whole, parts) = (Registry::start(), Registry::start());
    let (_source, home, file) = source(&[&whole, &parts]);
    let sync = |to: &Registry, shard: &[&str]| {
        let place = format!("{}/mirror", to.host());
        let ends = ["sync", "--src", "yaml", "--dest", "docker", "--scoped"];
        start(&home, &[&ends[..], shard, &[&file, &place]].concat())
    };
    finish(sync(&whole, &[]), "the whole").success();
    let expected = content(&whole);
    assert_eq!(expected.len(), 27);

    let shards: Vec<String> = (1..=COUNT).map(|shard| format!("{shard}/{COUNT}")).collect();
    let running: Vec<_> = shards.iter().map(|it| sync(&parts, &["--shard", it])).collect();
    let mut done = 0;
    for (child, shard) in running.into_iter().zip(&shards) {
        let run = finish(child, shard).success();
        let last = run.stderr.lines().find(|line| line.contains("Synced ")).unwrap().to_owned();
        let count = last.split("Synced ").nth(1).unwrap().split(' ').next().unwrap();
        let count: usize = count.parse().unwrap();
        // What is of one repository stays together.
        assert_eq!(count % 3, 0, "{last}");
        done += count;
    }
    assert_eq!(done, 27);
    assert_eq!(content(&parts), expected);
    // No image was written by two of them.
    let puts = written(&parts);
    assert!(puts.windows(2).all(|pair| pair[0] != pair[1]), "{puts:#?}");
}

#[test]
fn environments_of_jobs_are_understood() {
    let parts = Registry::start();
    let (_source, home, file) = source(&[&parts]);
    let place = format!("{}/mirror", parts.host());
    let arguments =
        ["sync", "--src", "yaml", "--dest", "docker", "--scoped", "--shard", "auto", &file, &place];
    let run = finish(start(&home, &arguments), "no job").failure(1);
    assert!(run.stderr.contains("neither JOB_COMPLETION_INDEX nor SLURM_ARRAY_TASK_ID"), "{run}");
    for (index, count) in [("0", "2"), ("1", "2")] {
        let mut command = home.command(SKOPEO);
        command.args(arguments).env("JOB_COMPLETION_INDEX", index);
        command.env("SKOPEO_SHARD_COUNT", count);
        let status = command.stderr(std::process::Stdio::null()).status().unwrap();
        assert!(status.success());
    }
    assert_eq!(content(&parts).len(), 27);
}

#[test]
fn an_array_of_slurm_mirrors_and_reports() {
    let slurm = match Slurm::start() {
        Ok(slurm) => slurm,
        Err(why) => cannot!("{why}"),
    };
    let (whole, parts) = (Registry::start(), Registry::start());
    let (_source, home, file) = source(&[&whole, &parts]);
    let place = |registry: &Registry| format!("{}/mirror", registry.host());
    let ends = ["sync", "--src", "yaml", "--dest", "docker", "--scoped"];
    at_home(&home, &[&ends[..], &[&file, &place(&whole)]].concat()).success();

    // The scripts find the program by its name, as on any node.
    let bin = home.path("bin");
    fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(SKOPEO, bin.join("skopeo")).unwrap();
    let reports = home.path("reports");
    let mut submit = home.command(deploy("slurm/submit.sh"));
    submit.env("SLURM_CONF", slurm.configuration());
    submit.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin", bin.display()));
    submit.args([&COUNT.to_string(), &file, &place(&parts)]).arg(&reports).arg("--scoped");
    let output = submit.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let begun = Instant::now();
    while !slurm.tool("squeue", &["--noheader"]).success().stdout.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{}", slurm.tool("squeue", &["--long"]).stdout);
        std::thread::sleep(Duration::from_millis(200));
    }
    let logs = || {
        let read = |entry: std::io::Result<fs::DirEntry>| {
            let path = entry.unwrap().path();
            format!("{}:\n{}", path.display(), fs::read_to_string(&path).unwrap_or_default())
        };
        fs::read_dir(&reports).unwrap().map(read).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(content(&parts), content(&whole), "{}", logs());
    let report =
        fs::read_to_string(reports.join("report.json")).unwrap_or_else(|_| panic!("{}", logs()));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ok"], true, "{report:#}");
    assert_eq!(report["images"].as_array().unwrap().len(), 27, "{report:#}");
}

/// A file of those that are given to who deploys.
fn deploy(file: &str) -> PathBuf {
    crate::program::root().join("deploy").join(file)
}
