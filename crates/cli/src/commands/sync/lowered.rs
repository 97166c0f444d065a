//! What a file that a run takes its orders from, a plan or a report, lowers of what the command line
//! asks for: it is said, and done only if the command line says so too.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use skopeo_image::ErrorClass;
use skopeo_sync::destination::Place;
use skopeo_sync::plan::Access;
use skopeo_transport::ImageName;
use tracing::warn;

use crate::args::signing;
use crate::args::value::Values;
use crate::exit::Classed;
use crate::go;

/// The flag by which all that a file lowers is taken from it.
pub(super) const TRUST: &str = "trust-file";

/// The flags, behind `--src-` or `--dest-`, that say who one is to a registry.
const CREDENTIALS: [&str; 3] = ["creds", "username", "registry-token"];

/// What a file lowers.
#[derive(Debug)]
pub(super) struct Lowered {
    file: String,
    what: Vec<String>,
}

impl Lowered {
    /// Nothing yet; `file` says what it is, and how it is called.
    pub(super) fn new(kind: &str, path: &Path) -> Self {
        Self { file: format!("{kind} {}", go::quote(&path.to_string_lossy())), what: Vec::new() }
    }

    /// The file turns the verification of TLS off, unless the command line does with this flag.
    pub(super) fn tls(
        &mut self,
        verify: Option<bool>,
        given: &Values,
        flag: &str,
        of: impl fmt::Display,
    ) {
        if verify == Some(false) && given.maybe_switch(flag) != Some(false) {
            self.note(format!("it does not verify TLS of {of} (--{flag}=false)"));
        }
    }

    /// The file names something for this flag which the command line does not.
    pub(super) fn path(
        &mut self,
        path: Option<&str>,
        given: &Values,
        flag: &str,
        of: impl fmt::Display,
    ) {
        if let Some(path) = path
            && given.maybe_text(flag) != Some(path)
        {
            self.note(format!("it takes {of} from {} (--{flag})", go::quote(path)));
        }
    }

    /// The file fills credentials with these variables of the environment, for which there is no flag.
    pub(super) fn variables<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        of: impl fmt::Display,
    ) {
        for name in names {
            self.note(format!("it takes credentials for {of} from the environment ({name})"));
        }
    }

    /// The file has images signed, which the command line says nothing about: nobody's key signs what
    /// a file names.
    pub(super) fn signing<'a>(&mut self, said: impl Fn(&str) -> Option<&'a str>, given: &Values) {
        for flag in signing::BY.into_iter().filter(|flag| !given.has(flag)) {
            if let Some(value) = said(flag).filter(|value| !value.is_empty()) {
                self.note(format!("it signs with {} (--{flag})", go::quote(value)));
            }
        }
    }

    /// The credentials of the command line are for registries that it names, and it names none: the
    /// file would choose to whom they go.
    pub(super) fn credentials<'a>(
        &mut self,
        given: &Values,
        sources: impl IntoIterator<Item = &'a str>,
        places: impl IntoIterator<Item = &'a str>,
    ) {
        let flag = |side: &str| {
            let flags = CREDENTIALS.iter().map(|name| format!("{side}-{name}"));
            flags.into_iter().find(|flag| given.has(flag))
        };
        if let Some(flag) = flag("src") {
            for host in sources.into_iter().filter_map(registry) {
                self.note(format!("it has the credentials of --{flag} sent to {host}"));
            }
        }
        if let Some(flag) = flag("dest") {
            let hosts = places.into_iter().filter_map(|it| it.parse::<Place>().ok()?.registry());
            for host in hosts {
                self.note(format!("it has the credentials of --{flag} sent to {host}"));
            }
        }
    }

    /// What the file says of how a registry is reached, for a side, `src` or `dest`.
    pub(super) fn access(&mut self, access: &Access, given: &Values, side: &str, of: &str) {
        self.tls(access.tls_verify, given, &format!("{side}-tls-verify"), of);
        let folder = access.cert_dir.as_ref().map(|folder| folder.to_string_lossy());
        let of = format!("certificates for {of}");
        self.path(folder.as_deref(), given, &format!("{side}-cert-dir"), of);
    }

    fn note(&mut self, what: String) {
        if !self.what.contains(&what) {
            self.what.push(what);
        }
    }

    /// # Errors
    /// If something is lowered and the command line does not say so.
    pub(super) fn check(self, given: &Values) -> Result<()> {
        let Self { file, what } = self;
        if what.is_empty() {
            return Ok(());
        }
        let shown = match &what[..] {
            [first, second, third, more @ ..] if !more.is_empty() => {
                format!("{first}; {second}; {third}; and {} more", more.len())
            }
            all => all.join("; "),
        };
        if given.switch(TRUST) {
            warn!("As {file} says: {shown}");
            return Ok(());
        }
        Err(Classed {
            class: ErrorClass::InvalidInput,
            sentence: format!("{file} lowers what this command line asks for: {shown}"),
            hint: Some(format!(
                "give these flags here too (not those of credentials: log in to the registries), or \
                 --{TRUST} if you trust the file as you trust a script"
            )),
        }
        .into())
    }
}

/// The registry that an image is in; none for other places.
pub(super) fn registry(source: &str) -> Option<String> {
    let name = ImageName::parse(source).ok()?;
    let reference = name.docker_reference().filter(|_| name.is_in_registry())?;
    Some(reference.name.domain().to_owned())
}
