//! `inspect` and its templates.

use super::*;

/// Every transport that both have, in every way to look at it.
#[test]
fn inspect_in_every_place() {
    let Some(twin) = twins() else { return };
    let registry = Registry::start();
    let labelled = |format| Image::builder(1).label("a", "b").format(format).build();
    twin.prepare(|home| {
        let tar = skopeo_testkit::image::tar_of(3, 2000);
        fs_err::write(home.path("work/layer.tar"), tar).unwrap();
        labelled(Format::Docker).write_dir(&home.path("work/dir"));
        labelled(Format::Oci).write_oci(&home.path("work/oci"), Some("x"));
        let program = &twin.original().program;
        for (from, to) in
            [("dir:dir", "docker-archive:docker.tar:a/b:1"), ("oci:oci:x", "oci-archive:oci.tar:x")]
        {
            let copy = ["--insecure-policy", "copy", "-q", from, to];
            skopeo_testkit::run(home, program, &copy).success();
        }
    });
    let offered = at_home(&skopeo_testkit::Home::new(), &["inspect", "--help"]).stdout;
    for image in [
        "dir:dir",
        "oci:oci:x",
        "docker-archive:docker.tar",
        "oci-archive:oci.tar:x",
        "tarball:layer.tar",
    ] {
        let (transport, _) = image.split_once(':').unwrap();
        if !offered.contains(&format!(" {transport},"))
            && !offered.contains(&format!(" {transport}\n"))
        {
            continue; // not built yet
        }
        let fixed =
            "{{.Name}}|{{.RepoTags}}|{{.Layers}}|{{.Os}}|{{.Architecture}}|{{.Labels}}|{{.Env}}";
        // The original says of a tarball that it was made now.
        let one = if transport == "tarball" { Code("it is made anew each time") } else { One };
        compare(
            &twin,
            &registry,
            &[
                (&["inspect", "--raw", image], one),
                (&["inspect", "--config", image], one),
                (&["inspect", "--raw", "--config", image], one),
                (&["inspect", "--format", "{{.Digest}} {{.Created}}", image], one),
                (&["inspect", "--format", fixed, image], One),
                (&["inspect", image], LAYERS_DATA),
                (&["inspect", "-n", image], LAYERS_DATA),
            ],
        );
        let home = &twin.ours().home;
        let all = at_home(home, &["inspect", "--all-platforms", image]).success().json();
        let one = at_home(home, &["inspect", image]).success().json();
        assert_eq!(all["Instances"].as_array().unwrap().len(), 1, "{image}");
        assert_eq!(all["Instances"][0]["LayersData"], one["LayersData"], "{image}");
        assert_eq!(all["Instances"][0]["Platform"], "linux/amd64", "{image}");
    }
}

#[test]
fn inspect() {
    let Some(twin) = twins() else { return };
    let registry = Registry::start();
    let labels = |image: skopeo_testkit::image::Builder| image.label("a", "b").label("z", "<q>");
    let docker = labels(Image::builder(1).format(Format::Docker)).build();
    let oci = labels(Image::builder(2)).build();
    let schema1 = Image::builder(3).format(Format::Schema1Signed).named("a/b", "s1").build();
    let list = Image::platforms(4, 3);
    let artifact = Image::builder(5).artifact("application/x").build();
    for (tag, image) in
        [("v1", &docker), ("oci", &oci), ("s1", &schema1), ("list", &list), ("art", &artifact)]
    {
        image.push(&registry, &format!("a/b:{tag}"));
    }
    twin.prepare(|home| {
        home.insecure(&[&registry.host()]);
        docker.write_dir(&home.path("work/img"));
        list.write_dir(&home.path("work/list"));
        oci.write_oci(&home.path("work/lay"), Some("x/y:z"));
        Image::new(9).write_oci(&home.path("work/lay"), Some("other"));
    });
    for tag in ["v1", "oci", "s1", "list", "art"] {
        let image = format!("docker://{{host}}/a/b:{tag}");
        let art = tag == "art";
        let failing = if art { Code("1.22 names the artifact's type") } else { One };
        let shown = if art { ARTIFACT } else { One };
        let layers_data = if art { ARTIFACT } else { LAYERS_DATA };
        compare(
            &twin,
            &registry,
            &[
                (&["inspect", "--raw", &image], One),
                (&["inspect", "--config", &image], failing),
                (&["inspect", "--raw", "--config", &image], if tag == "art" { WORDS } else { One }),
                (&["inspect", "--format", "{{.Digest}} {{.Layers}} {{.RepoTags}}", &image], shown),
                (&["inspect", &image], layers_data),
                (&["inspect", "-n", &image], layers_data),
            ],
        );
    }
    compare(
        &twin,
        &registry,
        &[
            (&["inspect", "dir:img"], LAYERS_DATA),
            (&["inspect", "--config", "dir:img"], One),
            (&["inspect", "--raw", "oci:lay:x/y:z"], One),
            (&["inspect", "--format", "{{.Name}}|{{.Digest}}|{{.RepoTags}}", "oci:lay:x/y:z"], One),
            (
                &[
                    "--override-os",
                    "linux",
                    "--override-arch",
                    "arm64",
                    "inspect",
                    "-f",
                    "{{.Architecture}}",
                    "dir:list",
                ],
                One,
            ),
            (
                &["--override-arch", "sparc", "inspect", "dir:list"],
                Code("1.22 quotes the platform"),
            ),
            (&["inspect", "dir:nope"], One),
            (&["inspect", "oci:nope"], One),
            (&["inspect", "oci:lay"], WORDS),
            (&["inspect", "oci:lay:nope"], NOT_FOUND),
            (&["inspect", "docker://{host}/a/b"], NOT_FOUND),
            (&["inspect", "docker://{host}/a/nope:v1"], NOT_FOUND),
            (&["inspect", "--retry-times", "1", "docker://{host}/a/b:nope"], NOT_FOUND),
            (&["inspect", INSECURE, "docker://127.0.0.1:1/x"], One),
            (&["inspect", "docker://127.0.0.1:1/x"], One),
            (&["inspect", "--tls-verify=true", V1], One),
            (&["inspect"], USAGE),
            (&["inspect", "a", "b"], USAGE),
            (&["inspect", "foo"], One),
            (&["inspect", "foo:bar"], One),
            (&["inspect", "docker:/x"], One),
            (&["inspect", "docker://Foo"], One),
            (&["inspect", "docker://foo@sha256:abc"], One),
            (&["inspect", "--raw", "--format", "{{.}}", V1], One),
            (&["inspect", "--no-creds", "--creds", "a:b", V1], One),
            (&["inspect", "--username", "a", V1], One),
            (&["inspect", "--creds", "", V1], One),
            (&["inspect", "--creds", ":x", V1], One),
            (&["inspect", "--bogus", V1], One),
            (&["inspect", "--tls-verify=maybe", V1], One),
            (&["inspect", "--authfile", "nope.json", "-f", "{{.Digest}}", V1], One),
        ],
    );
}

#[test]
fn templates() {
    let Some(twin) = twins() else { return };
    let registry = Registry::start();
    let builder = Image::builder(1).format(Format::Docker).label("a", "b").label("z", "<q>");
    builder.build().push(&registry, "a/b:v1");
    twin.prepare(|home| home.insecure(&[&registry.host()]));
    for (format, how) in [
        ("{{.Name}}", One),
        ("{{ .Name }}@{{ .Digest }}", One),
        ("{{.Created}}", One),
        ("{{.Labels}}", One),
        ("{{.Labels.a}} {{.Labels.nope}}", One),
        ("{{range .Layers}}{{.}}\\n{{end}}", One),
        ("{{range .RepoTags}}{{.}} {{end}}", One),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}},{{end}}", One),
        ("{{index .Labels \"a\"}} {{index .Layers 0}}", One),
        ("{{.Architecture}}/{{.Os}}", One),
        ("{{len .Layers}} {{lt (len .Layers) 3}}", One),
        ("{{if eq .Os \"linux\"}}y{{else}}n{{end}}", One),
        ("{{printf \"%s-%d %v\" .Os (len .Env) .Layers}}", One),
        ("{{printf \"%q\" .Os}}", One),
        ("{{printf \"%q %T\" .Layers .Created}}", One),
        ("{{printf \"%q %s %T\" .Env .Labels .Labels}}", One),
        ("{{.Digest | printf \"%.19s\"}}", One),
        ("{{.Created.Format \"2006-01-02T15:04:05.000Z07:00\"}}", One),
        ("{{.Created.Year}} {{.Created.Unix}}", One),
        ("{{.DockerVersion}}{{.Env}}{{.RepoTags}}", One),
        ("{{with .Labels}}{{.z}}{{end}}", One),
        ("{{with $l := index .Layers 0}}{{$l}}{{end}}", One),
        ("{{html .Labels.z}} {{js .Labels.z}} {{urlquery .Name}}", One),
        ("{{and .Os .Name}} {{or .Tag \"none\"}} {{not .Os}}", One),
        ("{{slice .Architecture 0 2}}", One),
        ("{{$x := .Name}}{{$x}}{{/* c */}}", One),
        ("{{range .Layers}}{{break}}{{end}}ok", One),
        ("plain", One),
        ("{{nope}}", One),
        ("{{.", WORDS),
        ("{{end}}", WORDS),
        ("{{if .Os}}x", WORDS),
        ("{{\"unterminated}}", WORDS),
        ("{{.Nope}}", Code("another column")),
        ("{{.Created.Nope}}", Code("another column")),
        ("{{index .Layers 9}}", Code("another column")),
        ("{{len 3}}", Code("another column")),
        ("json", LAYERS_DATA),
        ("{{json .}}", LAYERS_DATA),
        ("{{json .Labels}}", REPORT),
        ("{{upper .Os}} {{title .Os}}", REPORT),
        ("{{join .RepoTags \",\"}}", REPORT),
        ("{{range .LayersData}}{{.MIMEType}} {{.Size}}{{end}}", Newer(0, "1.22 has LayersData")),
    ] {
        compare(&twin, &registry, &[(&["inspect", "--format", format, V1], how)]);
    }
    for format in [
        "{{.Architecture}} {{.Config.Labels}} {{.RootFS.DiffIDs}} {{.Author}}",
        "{{.Config.Env}} {{range .History}}{{.CreatedBy}};{{end}} {{.Created}}",
        "{{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.User}}",
    ] {
        compare(&twin, &registry, &[(&["inspect", "--config", "--format", format, V1], One)]);
    }
}
