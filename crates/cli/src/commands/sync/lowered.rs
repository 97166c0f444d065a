//! What a file that a run takes its orders from, a plan or a report, lowers of what the command line
//! asks for: it is said, and done only if the command line says so too.

use std::fmt;
use std::path::Path;

use anyhow::Result;
use skopeo_image::ErrorClass;
use skopeo_sync::plan::Access;
use tracing::warn;

use crate::args::signing;
use crate::args::value::Values;
use crate::exit::Classed;
use crate::go;

/// The flag by which all that a file lowers is taken from it.
pub(super) const TRUST: &str = "trust-file";

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
            [first, second, third, _, ..] => {
                format!("{first}; {second}; {third}; and {} more", what.len() - 3)
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
                "give these flags here too, or --{TRUST} if you trust the file as you trust a script"
            )),
        }
        .into())
    }
}
