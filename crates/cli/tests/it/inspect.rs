//! `skopeo inspect`.

use serde_json::{Value, json};
use skopeo_testkit::{Fault, Home, Image, On, Registry, skip};

use crate::program::{at_home, fatal, twins};

const INSECURE: &str = "--tls-verify=false";

fn registry_with(image: &Image) -> (Registry, String) {
    let registry = Registry::start();
    image.push(&registry, "a/b:1");
    image.push(&registry, "a/b:2");
    registry.forget_requests();
    let name = registry.docker("a/b:1");
    (registry, name)
}

#[test]
fn says_what_an_image_is() {
    let image = Image::builder(1).label("k", "<v>").build();
    let (registry, name) = registry_with(&image);
    let run = at_home(&Home::new(), &["inspect", INSECURE, &name]).success();
    let keys: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("    \"")?.split('"').next())
        .collect();
    let order = [
        "Name",
        "Digest",
        "RepoTags",
        "Created",
        "DockerVersion",
        "Labels",
        "Architecture",
        "Os",
        "Layers",
        "LayersData",
        "Env",
    ];
    assert_eq!(keys, order);
    assert!(run.stdout.contains("\"k\": \"\\u003cv\\u003e\""), "{run}");
    let found = run.json();
    assert_eq!(found["Name"], format!("{}/a/b", registry.host()));
    assert_eq!(found["Digest"], image.digest().to_string());
    assert_eq!(found["RepoTags"], json!(["1", "2"]));
    assert_eq!(found["LayersData"][0]["Digest"], image.layers()[0].digest.to_string());
}

#[test]
fn asks_for_tags_only_if_they_are_shown() {
    let (registry, name) = registry_with(&Image::new(1));
    let home = Home::new();
    for (words, asked) in [
        (&["--no-tags"][..], 0),
        (&["-n"], 0),
        (&["--raw"], 0),
        (&["--config"], 0),
        (&["--format", "{{.Name}} {{range .Layers}}{{.}}{{end}}"], 0),
        (&["--format", "{{len .RepoTags}}"], 1),
        (&["--format", "{{.}}"], 1),
        (&["--format", "json"], 1),
        (&[], 1),
    ] {
        registry.forget_requests();
        let words = [&["inspect", INSECURE, &name], words].concat();
        at_home(&home, &words).success();
        assert_eq!(registry.count(&On::tags()), asked, "{words:?}");
    }
}

#[test]
fn shows_manifest_and_config_as_they_are() {
    let image = Image::new(1);
    let (_registry, name) = registry_with(&image);
    let home = Home::new();
    let raw = at_home(&home, &["inspect", INSECURE, "--raw", &name]).success();
    assert_eq!(raw.stdout.as_bytes(), image.manifest().bytes);
    let config = at_home(&home, &["inspect", INSECURE, "--raw", "--config", &name]).success();
    assert_eq!(config.stdout.as_bytes(), image.config().unwrap());
    let config = at_home(&home, &["inspect", INSECURE, "--config", &name]).success().json();
    let original: Value = serde_json::from_slice(image.config().unwrap()).unwrap();
    assert_eq!(config["rootfs"], original["rootfs"]);
}

#[test]
fn prints_templates() {
    let image = Image::builder(1).label("version", "7").build();
    let (registry, name) = registry_with(&image);
    let home = Home::new();
    for (format, printed) in [
        ("{{.Name}}", format!("{}/a/b\n", registry.host())),
        ("Digest: {{.Digest}}", format!("Digest: {}\n", image.digest())),
        ("{{range .Layers}}{{.}}\\n{{end}}", {
            let layers = image.layers().iter().map(|layer| format!("{}\n", layer.digest));
            layers.collect::<String>() + "\n"
        }),
        ("{{index .Labels \"version\"}} {{join .RepoTags \",\"}}", "7 1,2\n".to_owned()),
        ("{{range .LayersData}}{{.MIMEType}} {{end}}", {
            let gzip = "application/vnd.oci.image.layer.v1.tar+gzip ";
            format!("{}\n", gzip.repeat(image.layers().len()))
        }),
    ] {
        let run = at_home(&home, &["inspect", INSECURE, "-f", format, &name]).success();
        assert_eq!(run.stdout, printed, "{format}");
    }
    let config = ["inspect", INSECURE, "--config", "-f", "{{.OS}}/{{.Architecture}}", &name];
    assert_eq!(at_home(&home, &config).success().stdout, "linux/amd64\n");
    let wrong = at_home(&home, &["inspect", INSECURE, "-f", "{{.Nope}}", &name]).failure(1);
    assert!(fatal(&wrong).ends_with("at <.Nope>: can't evaluate field Nope in type interface {}"));
    let both = at_home(&home, &["inspect", "--raw", "-f", "json", &name]).failure(1);
    assert_eq!(fatal(&both), "raw output does not support format option");
}

#[test]
fn chooses_from_a_list() {
    let list = Image::platforms(1, 4);
    let (_registry, name) = registry_with(&list);
    let home = Home::new();
    for instance in list.instances() {
        let platform = instance.platform().unwrap();
        let words = [
            "--override-os",
            &platform.os,
            "--override-arch",
            &platform.architecture,
            "--override-variant",
            &platform.variant,
            "inspect",
            INSECURE,
            "-n",
            &name,
        ];
        let found = at_home(&home, &words).success().json();
        assert_eq!(found["Architecture"], platform.architecture);
        assert_eq!(found["Digest"], list.digest().to_string(), "of what the name leads to");
        let digests: Vec<_> =
            instance.layers().iter().map(|layer| layer.digest.to_string()).collect();
        assert_eq!(found["Layers"], json!(digests));
    }
    let none = ["--override-os", "amigaos", "inspect", INSECURE, &name];
    let none = at_home(&home, &none).failure(1);
    let sentence = "Error parsing manifest for image: choosing image instance: no image found in \
                    image index for architecture ";
    assert!(fatal(&none).starts_with(sentence), "{none}");
}

#[test]
fn what_is_not_there_has_a_code_of_its_own() {
    let (registry, _) = registry_with(&Image::new(1));
    let home = Home::new();
    let name = registry.docker("a/b:none");
    let run = at_home(&home, &["inspect", INSECURE, &name]).failure(2);
    let sentence = format!(
        "Error parsing image name \"{name}\": reading manifest none in {}/a/b: manifest unknown",
        registry.host()
    );
    assert!(fatal(&run).starts_with(&sentence), "{run}");
    Image::new(1).write_oci(&home.path("work/layout"), Some("x"));
    at_home(&home, &["inspect", "oci:layout:none"]).failure(2);
    at_home(&home, &["inspect", "dir:none"]).failure(1);
    at_home(&home, &["inspect", "none"]).failure(1);
}

#[test]
fn a_registry_may_keep_its_tags_to_itself() {
    let (registry, name) = registry_with(&Image::new(1));
    let home = Home::new();
    for (fault, code) in [
        (Fault::status(On::tags(), 403).code("DENIED", "no"), 0),
        (Fault::status(On::tags(), 404).code("NOT_FOUND", "404 page not found"), 0),
        (Fault::status(On::tags(), 401).code("UNAUTHORIZED", "no"), 1),
        (Fault::status(On::tags(), 404).code("NAME_UNKNOWN", "no"), 1),
    ] {
        registry.mend();
        registry.fault(fault);
        let run = at_home(&home, &["inspect", INSECURE, &name]).failure(code);
        if code == 0 {
            assert_eq!(run.json()["RepoTags"], json!([]));
            let warning = "level=warning msg=\"Registry disallows tag list retrieval; skipping\"";
            assert!(run.stderr.contains(warning), "{run}");
        } else {
            assert!(fatal(&run).starts_with("Error determining repository tags: "), "{run}");
        }
        at_home(&home, &["inspect", INSECURE, "-n", &name]).success();
    }
}

#[test]
fn artifacts_are_shown_as_what_they_are() {
    let image = Image::new(2);
    let artifact = Image::builder(1)
        .artifact("application/vnd.example")
        .annotation("k", "v")
        .subject(&image)
        .build();
    let (_registry, name) = registry_with(&artifact);
    let home = Home::new();
    let shown = at_home(&home, &["inspect", INSECURE, &name]).success().json();
    assert_eq!(shown["ArtifactType"], "application/vnd.example");
    assert_eq!(shown["MIMEType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(shown["ConfigMIMEType"], "application/vnd.oci.empty.v1+json");
    assert_eq!(shown["Annotations"], json!({"k": "v"}));
    assert_eq!(shown["Subject"]["Digest"], image.digest().as_str());
    assert_eq!(shown["LayersData"].as_array().unwrap().len(), 2);
    assert_eq!(shown["RepoTags"], json!(["1", "2"]));
    assert_eq!(shown["Labels"], Value::Null);
    let format = ["inspect", INSECURE, "-f", "{{.ArtifactType}} {{.Subject.Digest}}", &name];
    let line = at_home(&home, &format).success().stdout;
    assert_eq!(line, format!("application/vnd.example {}\n", image.digest()));
    let run = at_home(&home, &["inspect", INSECURE, "--config", &name]).failure(1);
    assert!(fatal(&run).contains("artifact"), "{run}");
    at_home(&home, &["inspect", INSECURE, "--raw", &name]).success();
    let config = at_home(&home, &["inspect", INSECURE, "--raw", "--config", &name]).success();
    assert_eq!(config.stdout, "{}");
    // Of images nothing is said that the original does not say.
    let (_registry, name) = registry_with(&image);
    let shown = at_home(&home, &["inspect", INSECURE, &name]).success().json();
    assert!(shown.get("MIMEType").is_none() && shown.get("Annotations").is_none());
}

#[test]
fn an_index_of_nothing_but_artifacts_is_shown() {
    let home = Home::new();
    let attestation = Image::builder(1).attestation_of(&Image::new(2)).build();
    let index = Image::list(vec![attestation]);
    index.write_oci(&home.path("work/index"), None);
    let shown = at_home(&home, &["inspect", "oci:index"]).success().json();
    assert_eq!(shown["MIMEType"], "application/vnd.oci.image.index.v1+json");
    assert_eq!(shown["Manifests"], json!([index.instances()[0].digest().as_str()]));
    // What has images for others only is another matter.
    let other = Image::list(vec![Image::builder(3).platform("plan9", "mips", "").build()]);
    other.write_oci(&home.path("work/other"), None);
    let run = at_home(&home, &["inspect", "oci:other"]).failure(1);
    assert!(run.stderr.contains("hint: --override-os, --override-arch"), "{run}");
}

#[test]
fn all_platforms_with_their_sizes() {
    let list = Image::attested_platforms(1, 3);
    let nested = Image::list(vec![list.clone(), Image::builder(9).artifact("a/b").build()]);
    let (registry, name) = registry_with(&nested);
    let home = Home::new();
    let all = at_home(&home, &["inspect", INSECURE, "--all-platforms", &name]).success().json();
    assert_eq!(registry.count(&On::tags()), 0);
    assert_eq!(all["Digest"], nested.digest().as_str());
    let total: usize = nested.blobs().values().map(|bytes| bytes.len()).sum();
    assert_eq!(all["Size"], total);
    let instances = all["Instances"].as_array().unwrap();
    assert_eq!(instances.len(), 7);
    assert_eq!(instances[0]["ArtifactType"], "a/b");
    for (found, image) in instances[1..].iter().zip(list.instances()) {
        assert_eq!(found["Digest"], image.digest().as_str());
        assert_eq!(found["List"], list.digest().as_str());
        let size: usize = image.blobs().values().map(|bytes| bytes.len()).sum();
        assert_eq!(found["Size"], size, "{found}");
        let layers: Vec<&str> = image.layers().iter().map(|it| it.digest.as_str()).collect();
        assert_eq!(found["Layers"], json!(layers));
    }
    let platforms: Vec<&Value> = instances.iter().map(|it| &it["Platform"]).collect();
    let expected = [&json!("linux/amd64"), &json!("linux/arm64/v8"), &json!("linux/arm/v7")];
    assert_eq!(platforms[1..4], expected);
    assert_eq!(instances[1]["Created"], "2024-01-02T03:04:05Z");
    assert_eq!(instances[4]["Attests"], instances[1]["Digest"]);
    assert!(instances[4].get("Platform").is_none());

    let words = ["inspect", INSECURE, "--all-platforms", "-f"];
    let template = "{{range .Instances}}{{.Platform}} {{end}}";
    let line = at_home(&home, &[&words[..], &[template, &name]].concat()).success().stdout;
    assert!(line.contains("linux/amd64 linux/arm64/v8 linux/arm/v7"), "{line}");
    for flag in ["--raw", "--config"] {
        let run = at_home(&home, &["inspect", "--all-platforms", flag, &name]).failure(1);
        let sentence = "--all-platforms cannot be used together with --raw or --config";
        assert_eq!(fatal(&run), sentence);
    }
}

#[test]
fn a_sparse_index_says_what_is_missing() {
    let home = Home::new();
    Image::platforms(1, 2).write_oci(&home.path("work/from"), Some("x"));
    let copy =
        ["copy", "-q", "--multi-arch=linux/amd64", "--multi-arch-sparse", "oci:from:x", "dir:to"];
    at_home(&home, &copy).success();
    let all = at_home(&home, &["inspect", "--all-platforms", "dir:to"]).success().json();
    let missing: Vec<bool> =
        all["Instances"].as_array().unwrap().iter().map(|it| it["Missing"] == true).collect();
    assert_eq!(missing, [false, true]);
}

#[test]
fn digests_by_the_algorithm_asked_for() {
    let (_registry, name) = registry_with(&Image::new(1));
    let home = Home::new();
    let words =
        ["inspect", INSECURE, "-n", "--manifest-digest", "sha512", "-f", "{{.Digest}}", &name];
    let run = at_home(&home, &words).success();
    assert_eq!((&run.stdout[..7], run.stdout.len()), ("sha512:", 7 + 128 + 1));
    let run = at_home(&home, &["inspect", INSECURE, "--manifest-digest", "md5", &name]).failure(1);
    let sentence = "Error computing manifest digest: digest algorithm \"md5\" is not available";
    assert_eq!(fatal(&run), sentence);
}

#[test]
fn flags_that_contradict_each_other() {
    for (words, sentence) in [
        (
            &["--creds", "u:p", "--no-creds"][..],
            "creds and no-creds cannot be specified at the same time",
        ),
        (
            &["--username", "u", "--no-creds"],
            "username and no-creds cannot be specified at the same time",
        ),
        (
            &["--username", "u", "--creds", "u"],
            "creds and username cannot be specified at the same time",
        ),
        (&["--username", "u"], "password must be specified when username is specified"),
        (&["--password", "p"], "username must be specified when password is specified"),
        (&["--creds", ""], "credentials can't be empty"),
        (&["--creds", ":p"], "username can't be empty"),
    ] {
        let words = [&["inspect", "dir:x"], words].concat();
        assert_eq!(fatal(&at_home(&Home::new(), &words).failure(1)), sentence, "{words:?}");
    }
}

/// The installed original is older: it has no LayersData and does not know code 2.
#[test]
fn is_what_the_original_says() {
    let tmp = tempfile::tempdir().unwrap();
    let folder = tmp.path().display().to_string();
    Image::builder(1).label("k", "<v>").build().write_oci(tmp.path(), Some("x"));
    let name = format!("oci:{folder}:x");
    for words in
        [&[][..], &["--config"], &["--config", "--raw"], &["--raw"], &["-f", "{{.Created}}"]]
    {
        let words = [&["inspect", &name], words].concat();
        let Some((original, ours)) = twins(&words) else { skip!("no skopeo is installed") };
        if words.len() > 2 {
            assert_eq!(ours, original, "{words:?}");
            continue;
        }
        let mut ours = ours.json();
        ours.as_object_mut().unwrap().remove("LayersData");
        assert_eq!(ours, original.json());
    }
}
