//! Flags of `login` and `logout`.

use std::path::PathBuf;

use skopeo_image::Secret;

use super::command::Command;
use super::flag::{Flag, Offers};
use super::report;
use super::value::Values;

pub(crate) fn login() -> Command {
    Command::new("login", "[command options] REGISTRY", "Log in to a registry")
        .long(
            "Checks a user name and password with a registry and keeps them.\n\
             REGISTRY may go on with a namespace or repository for which alone they are meant.",
        )
        .examples(&["skopeo login quay.io"])
        .flags(files())
        .flags([
            Flag::text("cert-dir", "folder of certificates and keys for the registry")
                .offers(Offers::Folders),
            Flag::text("password", "password").short('p'),
            Flag::text("username", "user name").short('u'),
            Flag::switch("password-stdin", "read the password from stdin"),
            Flag::switch("get-login", "print who is logged in to the registry"),
            Flag::switch("verbose", "say where the credentials are kept").short('v'),
            tls_verify(),
            report::output(),
        ])
}

pub(crate) fn logout() -> Command {
    Command::new("logout", "[command options] REGISTRY", "Log out of a registry")
        .long("Forgets the user name and password for a registry, or for all of them.")
        .examples(&["skopeo logout quay.io"])
        .flags(files())
        .flags([
            Flag::switch("all", "forget the credentials for every registry").short('a'),
            tls_verify(),
            report::output(),
        ])
}

fn files() -> [Flag; 2] {
    [
        Flag::text("authfile", "file to keep the credentials in. REGISTRY_AUTH_FILE names it too")
            .offers(Offers::Files),
        Flag::text("compat-auth-file", "Docker config file to keep the credentials in instead")
            .offers(Offers::Files),
    ]
}

fn tls_verify() -> Flag {
    Flag::switch(
        "tls-verify",
        "insist on HTTPS with a certificate that can be verified; =false does without",
    )
}

/// What the flags of `login` said.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) authfile: Option<PathBuf>,
    pub(crate) compat_auth_file: Option<PathBuf>,
    pub(crate) cert_dir: Option<PathBuf>,
    pub(crate) username: String,
    pub(crate) password: Secret,
    pub(crate) password_stdin: bool,
    pub(crate) get_login: bool,
    pub(crate) verbose: bool,
    pub(crate) tls_verify: Option<bool>,
}

impl Login {
    pub(crate) fn new(values: &Values, root: Option<bool>) -> Self {
        let path = |name| values.text(name).map(PathBuf::from);
        Self {
            authfile: path("authfile"),
            compat_auth_file: path("compat-auth-file"),
            cert_dir: path("cert-dir"),
            username: values.text("username").unwrap_or_default().to_owned(),
            password: values.text("password").unwrap_or_default().into(),
            password_stdin: values.switch("password-stdin"),
            get_login: values.switch("get-login"),
            verbose: values.switch("verbose"),
            tls_verify: values.maybe_switch("tls-verify").or(root),
        }
    }
}

/// What the flags of `logout` said.
#[derive(Clone, Debug)]
pub(crate) struct Logout {
    pub(crate) authfile: Option<PathBuf>,
    pub(crate) compat_auth_file: Option<PathBuf>,
    pub(crate) all: bool,
    pub(crate) tls_verify: Option<bool>,
}

impl Logout {
    pub(crate) fn new(values: &Values, root: Option<bool>) -> Self {
        let path = |name| values.text(name).map(PathBuf::from);
        Self {
            authfile: path("authfile"),
            compat_auth_file: path("compat-auth-file"),
            all: values.switch("all"),
            tls_verify: values.maybe_switch("tls-verify").or(root),
        }
    }
}
