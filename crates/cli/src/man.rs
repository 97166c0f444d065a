//! The manual: one page for the program and one for each command, from the table of flags.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::fmt::Write as _;

use crate::args;
use crate::args::command::{Command, Usage};
use crate::args::flag::Flag;
use crate::exit::CLASSES;

/// The pages as (file name, troff).
#[must_use]
pub fn pages() -> Vec<(String, String)> {
    let root = args::tree(None);
    let mut pages = vec![("skopeo.1".to_owned(), main_page(&root))];
    let listed = |command: &&Command| command.usage == Usage::Plain && command.visible;
    for command in root.commands.iter().filter(listed) {
        pages.push((format!("skopeo-{}.1", command.name), page(command)));
    }
    pages
}

fn main_page(root: &Command) -> String {
    let mut text = head("skopeo", root.short);
    section(&mut text, "SYNOPSIS");
    text.push_str(
        "\\fBskopeo\\fR [\\fIglobal options\\fR] \\fIcommand\\fR [\\fIcommand options\\fR]\n",
    );
    section(&mut text, "DESCRIPTION");
    paragraphs(&mut text, DESCRIPTION);
    section(&mut text, "IMAGE NAMES");
    paragraphs(&mut text, IMAGE_NAMES);
    section(&mut text, "OPTIONS");
    flags(&mut text, root.flags.iter().chain(&root.persistent).collect());
    section(&mut text, "COMMANDS");
    for command in root.commands.iter().filter(|command| command.visible) {
        let _ = writeln!(text, ".TP\n\\fB{}\\fR", escape(command.name));
        let _ = writeln!(text, "{}", escape(command.short));
    }
    section(&mut text, "ENVIRONMENT");
    for (name, meaning) in ENVIRONMENT {
        let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{}", escape(name), escape(meaning));
    }
    section(&mut text, "EXIT STATUS");
    for (code, meaning) in EXIT {
        let _ = writeln!(text, ".TP\n{code}\n{}", escape(meaning));
    }
    text.push_str(
        ".PP\nWith \\fB\\-\\-exit\\-codes detailed\\fR the code says what kind of error it was:\n",
    );
    for row in CLASSES {
        let _ = writeln!(text, ".TP\n{}\n{}: {}", row.code, escape(row.name), escape(row.meaning));
    }
    section(&mut text, "SEE ALSO");
    let pages: Vec<String> = root
        .commands
        .iter()
        .filter(|command| command.usage == Usage::Plain && command.visible)
        .map(|command| format!("\\fBskopeo-{}\\fR(1)", escape(command.name)))
        .collect();
    let _ = writeln!(text, "{}", pages.join(", "));
    text
}

fn page(command: &Command) -> String {
    let name = format!("skopeo-{}", command.name);
    let mut text = head(&name, command.short);
    section(&mut text, "SYNOPSIS");
    let _ = writeln!(text, "\\fBskopeo {}\\fR {}", escape(command.name), escape(command.synopsis));
    section(&mut text, "DESCRIPTION");
    // A page need not send its reader to itself.
    let own = format!("See {name}(1)");
    let long: Vec<&str> =
        command.long.split("\n\n").filter(|paragraph| !paragraph.starts_with(&own)).collect();
    paragraphs(&mut text, &long.join("\n\n"));
    if command.name == "sync" {
        section(&mut text, "FILES OF \\-\\-src yaml");
        paragraphs(&mut text, YAML);
        example(&mut text, YAML_EXAMPLE);
        paragraphs(&mut text, YAML_2);
        example(&mut text, YAML_2_EXAMPLE);
    }
    section(&mut text, "OPTIONS");
    flags(&mut text, command.flags.iter().collect());
    text.push_str(".PP\nThe options of \\fBskopeo\\fR(1) can be given too.\n");
    if !command.commands.is_empty() {
        section(&mut text, "SUBCOMMANDS");
        for below in &command.commands {
            subcommand(&mut text, &name.replace("skopeo-", "skopeo "), below);
        }
    }
    if !command.examples.is_empty() {
        section(&mut text, "EXAMPLES");
        command.examples.iter().for_each(|text_of_it| example(&mut text, text_of_it));
    }
    section(&mut text, "SEE ALSO");
    text.push_str("\\fBskopeo\\fR(1)\n");
    text
}

/// A command below another, and those below it.
fn subcommand(text: &mut String, above: &str, command: &Command) {
    let name = format!("{above} {}", command.name);
    if command.runs {
        let _ = writeln!(text, ".SS {} {}", escape(&name), escape(command.synopsis));
        paragraphs(text, &command.long);
        flags(text, command.flags.iter().collect());
        command.examples.iter().for_each(|text_of_it| example(text, text_of_it));
    }
    for below in &command.commands {
        subcommand(text, &name, below);
    }
}

fn example(text: &mut String, example: &str) {
    let lines: Vec<String> = example.lines().map(escape).collect();
    let _ = writeln!(text, ".PP\n.nf\n{}\n.fi", lines.join("\n"));
}

fn head(name: &str, short: &str) -> String {
    format!(
        ".TH \"{}\" 1 \"\" \"skopeo {}\" \"\"\n.SH NAME\n{} \\- {}\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        escape(name),
        escape(short)
    )
}

fn section(text: &mut String, title: &str) {
    let _ = writeln!(text, ".SH {title}");
}

fn paragraphs(text: &mut String, prose: &str) {
    for (at, paragraph) in prose.split("\n\n").enumerate() {
        if at > 0 {
            text.push_str(".PP\n");
        }
        for line in paragraph.lines() {
            let _ = writeln!(text, "{}", escape(line));
        }
    }
}

fn flags(text: &mut String, mut flags: Vec<&Flag>) {
    flags.retain(|flag| flag.visible);
    flags.sort_by(|a, b| a.name.cmp(&b.name));
    for flag in flags {
        let _ = write!(text, ".TP\n\\fB{}\\fR", escape(&flag.spelled()));
        if !flag.value_name().is_empty() {
            let _ = write!(text, "{}\\fI{}\\fR", flag.gap(), escape(flag.value_name()));
        }
        let _ = writeln!(text, "\n{}", escape(flag.usage));
        if let Some(default) = &flag.default {
            let _ = writeln!(text, "(default {})", escape(default));
        }
    }
}

/// The text so that troff prints it as it is.
fn escape(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if escaped.starts_with('.') { format!("\\&{escaped}") } else { escaped }
}

const DESCRIPTION: &str = "\
skopeo inspects, copies, mirrors (sync), deletes and serves container images and lists their tags, without a daemon \
and without unpacking anything.";

const IMAGE_NAMES: &str = "\
An image is named by a transport and what belongs to it.

docker://[HOST/]REPOSITORY[:TAG][@DIGEST]: an image in a registry. Without a host it is docker.io, \
without tag and digest it is latest. With both, the digest says which image it is, and the tag what it \
is called.

dir:PATH: an image in a folder of its own, a file for each blob.

oci:PATH[:REFERENCE] or oci:PATH:@INDEX: an image in a folder that is an OCI layout.

oci-archive:PATH[:REFERENCE] or oci-archive:PATH:@INDEX: an image in a tar of an OCI layout.

docker-archive:PATH[:NAME:TAG] or docker-archive:PATH:@INDEX: an image in a tar as `docker save` writes it.

docker-daemon:NAME:TAG, docker-daemon:NAME@DIGEST or docker-daemon:sha256:ID: an image that a Docker \
daemon has; to be written, it needs a tag.

containers-storage:NAME[:TAG], containers-storage:@ID or either with [DRIVER@GRAPHROOT+RUNROOT] in front: an \
image in the store of podman, buildah and CRI-O on this machine.

sif:PATH: the root file system in a SIF file of Apptainer or Singularity. Only for reading.

tarball:FILE[:FILE...]: an image made up of tars, packed or not, root layer first; - is standard input. \
Only for reading.";

const YAML: &str = "\
A file of version 1 names registries, and what to copy from each: images with the tags that are wanted (none means \
all), with a regular expression for tags, or with a range of versions.";

const YAML_EXAMPLE: &str = "\
registry.example.com:
  images:
    busybox: []
    redis:
      - \"1.0\"
      - \"sha256:0000000000000000000000000000000011111111111111111111111111111111\"
  images-by-tag-regex:
    nginx: ^1\\.13\\.[12]-alpine-perl$
  images-by-semver:
    alpine: \">= 3.12.0\"
  credentials:
    username: john
    password: this is a secret
  tls-verify: true
  cert-dir: /home/john/certs";

const YAML_2: &str = "\
A file of version 2 says for each image where it goes, too. docs/sync.md explains every key.";

const YAML_2_EXAMPLE: &str = "\
version: 2
defaults:
  into: docker://registry.internal/mirror
  preserve-path: true
images:
  - from: docker://docker.io/library/nginx
    semver: \">=1.24\"
    newest: 3";

const ENVIRONMENT: &[(&str, &str)] = &[
    ("REGISTRY_AUTH_FILE", "The default of --authfile."),
    ("DOCKER_CONFIG", "Folder of Docker's config.json, whose credentials are read too."),
    (
        "DOCKER_HOST, DOCKER_CERT_PATH, DOCKER_TLS_VERIFY",
        "The Docker daemon of docker-daemon: and its certificates, where no flag names one.",
    ),
    (
        "KUBECONFIG, KUBERNETES_MASTER",
        "Where and as whom OpenShift's API is asked, for names such as atomic:HOST/NAMESPACE/STREAM:TAG.",
    ),
    ("XDG_RUNTIME_DIR, XDG_CONFIG_HOME", "Where auth.json and the user's configuration lie."),
    (
        "CONTAINERS_REGISTRIES_CONF, CONTAINERS_POLICY_JSON",
        "Files to read instead of registries.conf and policy.json.",
    ),
    ("GNUPGHOME", "Folder of the keyring that --encryption-key pgp:NAME looks into."),
    (
        "OCICRYPT_KEYPROVIDER_CONFIG",
        "File with the key providers of --encryption-key and --decryption-key provider:NAME.",
    ),
    ("HTTP_PROXY, HTTPS_PROXY, NO_PROXY", "Proxies for registries; in lower case too."),
    ("SSL_CERT_FILE, SSL_CERT_DIR", "Certificates to trust instead of the system's."),
];

const EXIT: &[(u8, &str)] = &[
    (0, "Done."),
    (
        1,
        "Something failed; stderr says what, and in a line of its own what to do about it, where that is known.",
    ),
    (2, "The image does not exist."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_sends_its_reader_to_itself() {
        for (file, text) in pages() {
            let itself = format!("{}(1)", file.trim_end_matches(".1"));
            let text = text.replace("\\-", "-").replace("\\fR", "").replace("\\fB", "");
            let found = text.lines().find(|line| line.contains(&itself));
            assert_eq!(found, None, "{file}");
        }
    }

    /// What is said of an option ends where the next one, or something else, begins.
    #[test]
    fn no_sentence_runs_into_an_option() {
        for (file, text) in pages() {
            let mut lines = text.lines().peekable();
            while let Some(line) = lines.next() {
                if line != ".TP" {
                    continue;
                }
                let (tag, said) = (lines.next().unwrap(), lines.next().unwrap());
                assert!(!tag.starts_with('.') && !said.starts_with('.'), "{file}: {tag} {said}");
                lines.next_if(|line| line.starts_with("(default "));
                let next = lines.peek().copied().unwrap_or(".");
                assert!(next.starts_with('.'), "{file}: {tag}: {said} | {next}");
            }
        }
    }

    #[test]
    fn the_manual_has_every_transport_command_and_file() {
        let pages = pages();
        let page = |name: &str| {
            let (_, text) = pages.iter().find(|(file, _)| file == name).unwrap();
            text.replace("\\-", "-")
        };
        let main = page("skopeo.1");
        for transport in args::transports() {
            assert!(main.contains(&format!("\n{transport}:")), "{transport}");
        }
        for command in &args::tree(None).commands {
            assert_eq!(
                main.contains(&format!(".TP\n\\fB{}\\fR\n", command.name)),
                command.visible,
                "{}",
                command.name
            );
        }
        let sync = page("skopeo-sync.1");
        for part in ["skopeo sync report merge", "FILES OF", "images-by-semver:", "version: 2"] {
            assert!(sync.contains(part), "{part}");
        }
    }

    #[test]
    fn text_is_safe_for_troff() {
        for (text, escaped) in
            [("a-b", "a\\-b"), (".x", "\\&.x"), ("a\\b", "a\\eb"), ("it's", "it\\(aqs")]
        {
            assert_eq!(escape(text), escaped);
        }
    }
}
