//! The command tree: one table, from which parsing, help, completion and the manual derive.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

pub(crate) mod command;
pub(crate) mod copy;
mod duration;
pub(crate) mod flag;
pub(crate) mod global;
pub(crate) mod handle;
pub(crate) mod help;
pub(crate) mod image;
pub(crate) mod kind;
pub(crate) mod limits;
pub(crate) mod lists;
pub(crate) mod login;
pub(crate) mod names;
pub(crate) mod naming;
pub(crate) mod parse;
pub(crate) mod recorded;
pub(crate) mod report;
pub(crate) mod serve;
pub(crate) mod signatures;
pub(crate) mod signing;
pub(crate) mod size;
pub(crate) mod sync;
pub(crate) mod tags;
pub(crate) mod value;

use command::{Command, Usage};
use flag::{Flag, Offers};
use handle::Prefix;

/// The whole tree. `authfile` is `$REGISTRY_AUTH_FILE`, the default of `--authfile`.
pub(crate) fn tree(authfile: Option<String>) -> Command {
    let transports = transports().join(", ");
    let mut root = Command {
        usage: Usage::Full,
        takes_arguments: true,
        commands: vec![
            completion(),
            copy::command(authfile.clone(), &transports),
            delete(authfile.clone()),
            image_proxy(authfile.clone()),
            signatures::generate_sigstore_key(),
            help_command(),
            inspect(authfile.clone(), &transports),
            signatures::layers(authfile.clone()),
            list_tags(authfile.clone()),
            login::login(),
            login::logout(),
            man(),
            manifest_digest(),
            policy(authfile.clone()),
            serve::command(),
            signatures::standalone_sign(),
            signatures::standalone_verify(),
            sync::command(authfile),
            signatures::dump(),
        ],
        persistent: global::flags(),
        ..Command::new(
            "skopeo",
            "[flags]",
            "Inspect, copy, sign and delete container images in registries, folders and archives",
        )
    }
    .flags([
        Flag::new(names::VERSION, "print the version").short('v'),
        Flag::new(names::TLS_VERIFY, "require HTTPS").hidden(),
    ]);
    add_help(&mut root);
    root
}

/// `-h, --help` of every command.
fn add_help(command: &mut Command) {
    command.flags.push(Flag::new(names::HELP, "print this help").short('h'));
    command.commands.iter_mut().for_each(add_help);
}

/// The names of the transports that can be used.
pub(crate) fn transports() -> Vec<&'static str> {
    skopeo_transport::offered().map(|transport| transport.name).collect()
}

fn inspect(authfile: Option<String>, transports: &str) -> Command {
    Command::new("inspect", "[command options] IMAGE-NAME", "Show information about an image")
        .long(format!(
            "Prints information about the image IMAGE-NAME as JSON: its digest, platform, labels, layers, and for a\nregistry the tags of its repository.\n\nSupported transports:\n{transports}\n\n\
             IMAGE-NAME is \"transport\":\"details\"; see skopeo(1), section \"IMAGE NAMES\""
        ))
        .examples(&[
            "skopeo inspect docker://registry.fedoraproject.org/fedora",
            "skopeo inspect --config docker://docker.io/alpine",
            "skopeo inspect --format \"Name: {{.Name}} Digest: {{.Digest}}\" docker://quay.io/skopeo/stable",
        ])
        .offers(Offers::Images)
        .flags([image::shared(authfile)])
        .flags(image::image(Prefix::None, None))
        .flags(image::retry())
        .flags([
            Flag::new(names::RAW,  "print the unchanged manifest; with --config, the config"),
            Flag::new(names::CONFIG,  "print the image's configuration"),
            Flag::new(names::FORMAT,  "print the result with this Go template").short('f'),
            Flag::new(names::ALL_PLATFORMS,
                "print every image of an index with its platform, digest, size and layers",
            ),
            Flag::new(names::LISTS_REFERRERS,  "list the referrers of the image, such as signatures and attestations"),
            Flag::new(names::SIGNATURES,
                "list the signatures of the image and of all images of an index, what each says (not verified), and whether policy.json accepts it",
            ),
            Flag::new(names::VERIFY_POLICY,
                "show nothing that policy.json does not accept: the image that is shown, or the index with --raw and --all-platforms",
            ),
            Flag::new(names::NO_TAGS,  "do not list the tags of the repository").short('n'),
            Flag::new(names::MANIFEST_DIGEST,
                "algorithm of the manifest's digest (sha256, sha512); the default is that of the config",
            )
            .offers(Offers::Words(&["sha256", "sha512"])),
        ])
}

fn list_tags(authfile: Option<String>) -> Command {
    Command::new(
        "list-tags",
        "[command options] SOURCE-IMAGE",
        "List the tags of a repository",
    )
    .long(
        "Prints the tags of the repository SOURCE-IMAGE as JSON, or the names of the images in an archive or an OCI layout.\n\nSupported transports:\ndocker, docker-archive, oci, oci-archive\n\n\
         SOURCE-IMAGE is docker://[HOST/]REPOSITORY, without tag or digest, or the path of an archive or layout:\n\
         docker-archive:PATH, oci:PATH, oci-archive:PATH",
    )
    .examples(&[
        "skopeo list-tags docker://docker.io/fedora",
        "skopeo list-tags oci:./images",
    ])
    .offers(Offers::Images)
    .flags([image::shared(authfile)])
    .flags(image::registry(Prefix::None, None))
    .flags(image::retry())
    .flags(tags::choosing())
    .flags(tags::listing())
}

fn delete(authfile: Option<String>) -> Command {
    let transports = skopeo_transport::offered().filter(|transport| transport.deletes);
    let transports = transports.map(|transport| transport.name).collect::<Vec<_>>().join(", ");
    Command::new("delete", "[command options] IMAGE-NAME", "Delete an image")
        .long(format!(
            "Deletes the image IMAGE-NAME. In a registry all tags of its digest are deleted too, \
             unless --tag-only is given.\n\n\
             With --match, --exclude, --semver, --older-than or --keep, IMAGE-NAME is a repository, \
             docker://[HOST/]REPOSITORY,\nand the selected tags are deleted. Their images are \
             deleted too if no other tag needs them.\n\nSupported transports:\n{transports}\n\n\
             IMAGE-NAME is \"transport\":\"details\"; see skopeo(1), section \"IMAGE NAMES\""
        ))
        .examples(&["skopeo delete docker://registry.example.com/example/pause:latest"])
        .offers(Offers::Images)
        .flags([image::shared(authfile)])
        .flags(image::image(Prefix::None, None))
        .flags(image::retry())
        .flags(tags::choosing())
        .flags(tags::deleting())
        .flags([report::output()])
}

fn image_proxy(authfile: Option<String>) -> Command {
    Command {
        visible: false,
        ..Command::new(
            "experimental-image-proxy",
            "[command options]",
            "Fetch images for another program",
        )
    }
    .long(
        "Fetches images for another program, such as bootc or rpm-ostree. The other program starts this one with\n\
         a socket of type SOCK_SEQPACKET. Each packet is a request or a reply, in JSON. Manifests, configs and\n\
         layers come through pipes, whose ends are passed over the socket. The protocol is version 0.2.8 of\n\
         skopeo's command with the same name. The policy is checked when an image is opened.\n\n\
         The command ends when the other program asks for it, or when the other program is gone.",
    )
    .examples(&["skopeo experimental-image-proxy --sockfd 3"])
    .flags([image::shared(authfile)])
    .flags(image::image(Prefix::None, None))
    .flags([Flag::new(names::SOCKFD,
        "file descriptor of the socket; 0 is standard input",
    )
    .default(Some("0".to_owned()))])
}

fn man() -> Command {
    Command::new("man", "FOLDER", "Write the manual pages into a folder")
        .long(
            "Writes the manual pages, one for the program and one for each command, into FOLDER. It is made if it is not \
             there.\nPages of the same names are replaced. Packages have the pages already: this is for who built the \
             program with cargo.",
        )
        .examples(&["skopeo man ~/.local/share/man/man1"])
        .offers(Offers::Files)
}

fn manifest_digest() -> Command {
    Command::new("manifest-digest", "MANIFEST-FILE", "Compute the digest of a manifest in a file")
        .examples(&["skopeo manifest-digest manifest.json"])
        .offers(Offers::Files)
}

fn policy(authfile: Option<String>) -> Command {
    let check = Command::new("check", "[command options] IMAGE-NAME", "Check whether policy.json accepts an image, and why")
        .long(
            "Reads the manifest and the signatures of the image IMAGE-NAME. Prints which part of \
             policy.json applies to it, what\nis required there, and whether the image meets it. For an \
             index, the image for this platform is checked. Ends\nwith an error if the image is not \
             accepted.",
        )
        .examples(&[
            "skopeo policy check docker://registry.example.com/app:1",
            "skopeo --policy ./policy.json policy check --output json dir:image",
        ])
        .offers(Offers::Images)
        .flags([image::shared(authfile)])
        .flags(image::image(Prefix::None, None))
        .flags(image::retry())
        .flags([report::output()]);
    Command {
        runs: false,
        commands: vec![check],
        ..Command::new("policy", "", "Check images against policy.json")
    }
}

fn help_command() -> Command {
    Command { usage: Usage::Full, ..Command::new("help", "[command] [flags]", "Explain a command") }
        .long("Prints the help of the program or of a command.")
}

fn completion() -> Command {
    let shell = |name, short| {
        let command =
            Command { usage: Usage::Full, takes_arguments: false, ..Command::new(name, "", short) };
        command
            .long(crate::completion::explain(name))
            .flags([Flag::new(names::NO_DESCRIPTIONS, "complete words without descriptions")])
    };
    Command {
        usage: Usage::Full,
        runs: false,
        takes_arguments: false,
        commands: vec![
            shell("bash", "Print the completion script for bash"),
            shell("fish", "Print the completion script for fish"),
            shell("powershell", "Print the completion script for powershell"),
            shell("zsh", "Print the completion script for zsh"),
        ],
        ..Command::new("completion", "", "Print the completion script for a shell")
    }
    .long(
        "Prints a script that completes skopeo's command lines in a shell.\n\
         The help of the command for each shell says how to load it.",
    )
}

/// Looks a command up for `help`: its path, as deep as the names lead.
pub(crate) fn find(root: &Command, names: &[String]) -> Option<Vec<&'static str>> {
    let mut command = root;
    let mut path = Vec::new();
    for name in names {
        match command.find(name) {
            Some(next) => {
                path.push(next.name);
                command = next;
            }
            None if path.is_empty() => return None,
            None => break,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests;
