//! Flags of `login` and `logout`.

use std::path::PathBuf;

use skopeo_image::Secret;

use super::command::Command;
use super::flag::{Flag, Offers};
use super::names;
use super::report;
use super::value::Values;

pub(crate) fn login() -> Command {
    Command::new("login", "[command options] REGISTRY", "Log in to a registry")
        .long(
            "Checks a user name and password with a registry and stores them.\n\
             REGISTRY may include a namespace or repository; then the credentials are used only for it.",
        )
        .examples(&["skopeo login quay.io"])
        .flags(files())
        .flags([
            Flag::new(names::CERT_DIR, "folder of certificates and keys for the registry")
                .offers(Offers::Folders),
            Flag::new(names::PASSWORD, "password").short('p'),
            Flag::new(names::USERNAME, "user name").short('u'),
            Flag::new(names::PASSWORD_STDIN, "read the password from stdin"),
            Flag::new(names::GET_LOGIN, "print the user who is logged in to the registry"),
            Flag::new(names::VERBOSE, "print where the credentials are stored").short('v'),
            tls_verify(),
            report::output(),
        ])
}

pub(crate) fn logout() -> Command {
    Command::new("logout", "[command options] REGISTRY", "Log out of a registry")
        .long("Removes the stored user name and password of a registry, or of all registries.")
        .examples(&["skopeo logout quay.io"])
        .flags(files())
        .flags([
            Flag::new(names::ALL, "remove the credentials of every registry").short('a'),
            tls_verify(),
            report::output(),
        ])
}

fn files() -> [Flag; 2] {
    [
        Flag::new(
            names::AUTHFILE,
            "file to store the credentials in. REGISTRY_AUTH_FILE can name it too",
        )
        .offers(Offers::Files),
        Flag::new(
            names::COMPAT_AUTH_FILE,
            "store the credentials in this Docker config file instead",
        )
        .offers(Offers::Files),
    ]
}

fn tls_verify() -> Flag {
    Flag::new(
        names::TLS_VERIFY,
        "require HTTPS and a valid certificate; =false does not require them",
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
            authfile: path(names::AUTHFILE),
            compat_auth_file: path(names::COMPAT_AUTH_FILE),
            cert_dir: path(names::CERT_DIR),
            username: values.text(names::USERNAME).unwrap_or_default().to_owned(),
            password: values.text(names::PASSWORD).unwrap_or_default().into(),
            password_stdin: values.switch(names::PASSWORD_STDIN),
            get_login: values.switch(names::GET_LOGIN),
            verbose: values.switch(names::VERBOSE),
            tls_verify: values.maybe_switch(names::TLS_VERIFY).or(root),
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
            authfile: path(names::AUTHFILE),
            compat_auth_file: path(names::COMPAT_AUTH_FILE),
            all: values.switch(names::ALL),
            tls_verify: values.maybe_switch(names::TLS_VERIFY).or(root),
        }
    }
}
