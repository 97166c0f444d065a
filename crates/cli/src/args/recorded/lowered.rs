//! What a file that a run takes its orders from, a plan or a report, lowers of what the command line
//! asks for: it is said, and done only if the command line says so too.

use std::path::Path;

use anyhow::Result;
use serde_json::Value as Json;
use skopeo_image::ErrorClass;
use skopeo_sync::report::Recorded;
use skopeo_sync::{Earlier, Reach, Side};
use tracing::warn;

use super::Kept;
use crate::args::handle::{Handle, Prefix};
use crate::args::value::Values;
use crate::args::{names, signing};
use crate::exit::Classed;
use crate::go;

/// The flag by which all that a file lowers is taken from it.
const TRUST: Handle<bool> = names::TRUST_FILE;

/// The flags, for each side, that say who one is to a registry.
const CREDENTIALS: [Handle<String>; 3] = [names::CREDS, names::USERNAME, names::REGISTRY_TOKEN];

/// What a file lowers.
#[derive(Debug)]
pub(crate) struct Lowered {
    file: String,
    what: Vec<String>,
}

impl Lowered {
    /// Nothing yet; `file` says what it is, and how it is called.
    pub(crate) fn new(kind: &str, path: &Path) -> Self {
        Self { file: format!("{kind} {}", go::quote(&path.to_string_lossy())), what: Vec::new() }
    }

    /// Returns what the file of an earlier run lowers.
    pub(crate) fn of(kept: Kept, path: &Path, earlier: &Earlier, given: &Values) -> Self {
        let mut this = Self::new(kept.word(), path);
        let of = match kept {
            Kept::Plan => ["its registries", "all sources", "all destinations"],
            Kept::Report => ["its registries"; 3],
        };
        this.flags(given, earlier.recorded(), of);
        earlier.reaches().iter().for_each(|reach| this.reach(reach, given));
        this.credentials(given, earlier.registries());
        this
    }

    /// What the file says of flags that the command line does not have: `of` is what each side's
    /// registries are called in it, both sides' first.
    fn flags(&mut self, given: &Values, said: &Recorded, of: [&str; 3]) {
        let said = |flag: &str| said.get(flag);
        let text = |flag: Handle<String>| said(&flag.name()).and_then(Json::as_str);
        for (prefix, of) in Prefix::ALL.into_iter().zip(of) {
            let flag = names::TLS_VERIFY.of(prefix);
            if !given.has(flag) {
                self.tls(said(&flag.name()).and_then(Json::as_bool), given, flag, of);
            }
            let paths = [(names::AUTHFILE, "credentials"), (names::CERT_DIR, "certificates")];
            for (flag, of) in paths.map(|(flag, of)| (flag.of(prefix), of)) {
                if !given.has(flag) {
                    self.path(text(flag), given, flag, of);
                }
            }
        }
        // Nobody's key signs what a file names.
        for flag in signing::BY.into_iter().filter(|flag| !given.has(*flag)) {
            if let Some(value) = text(flag).filter(|value| !value.is_empty()) {
                self.note(format!("it signs with {} (--{flag})", go::quote(value)));
            }
        }
    }

    /// The credentials of the command line are for registries that it names, and it names none: the
    /// file would choose to whom they go, which are these.
    fn credentials(&mut self, given: &Values, registries: Vec<(Side, String)>) {
        for (side, host) in registries {
            let flags = CREDENTIALS.map(|flag| flag.of(prefix(side)));
            if let Some(flag) = flags.into_iter().find(|flag| given.has(*flag)) {
                self.note(format!("it has the credentials of --{flag} sent to {host}"));
            }
        }
    }

    /// What the file says of how a registry or a place is reached.
    pub(crate) fn reach(&mut self, reach: &Reach, given: &Values) {
        let Reach { side, name, access, variables: (host, variables), .. } = reach;
        let prefix = prefix(*side);
        self.tls(access.tls_verify, given, names::TLS_VERIFY.of(prefix), name);
        let folder = access.cert_dir.as_ref().map(|folder| folder.to_string_lossy());
        let of = format!("certificates for {name}");
        self.path(folder.as_deref(), given, names::CERT_DIR.of(prefix), &of);
        for variable in variables {
            self.note(format!("it takes credentials for {host} from the environment ({variable})"));
        }
    }

    /// The file turns the verification of TLS off, unless the command line does with this flag.
    fn tls(&mut self, verify: Option<bool>, given: &Values, flag: Handle<bool>, of: &str) {
        if verify == Some(false) && given.maybe_switch(flag) != Some(false) {
            self.note(format!("it does not verify TLS of {of} (--{flag}=false)"));
        }
    }

    /// The file names something for this flag which the command line does not.
    fn path(&mut self, path: Option<&str>, given: &Values, flag: Handle<String>, of: &str) {
        if let Some(path) = path
            && given.maybe_text(flag) != Some(path)
        {
            self.note(format!("it takes {of} from {} (--{flag})", go::quote(path)));
        }
    }

    fn note(&mut self, what: String) {
        if !self.what.contains(&what) {
            self.what.push(what);
        }
    }

    /// # Errors
    /// If something is lowered and the command line does not say so.
    pub(crate) fn check(self, given: &Values) -> Result<()> {
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

/// How the flags of a side begin.
fn prefix(side: Side) -> Prefix {
    match side {
        Side::Source => Prefix::Source,
        Side::Destination => Prefix::Destination,
    }
}
