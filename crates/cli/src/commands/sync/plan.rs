//! `--plan`: a plan that a dry run has written, and the flags in it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value as Json};
use skopeo_sync::plan::{Access, Mirroring, PlanFile};
use tracing::info;

use super::lowered::{Lowered, registry};
use crate::args::value::{Value, Values};
use crate::go;

/// The flags that a plan keeps, unless `--plan` comes with others. Names, places and platforms are
/// in the plan itself.
const KEPT: [&str; 14] = [
    "dest-cert-dir",
    "dest-compress",
    "dest-tls-verify",
    "format",
    "overwrite",
    "preserve-digests",
    "remove-list-signatures",
    "remove-signatures",
    "sign-by",
    "sign-by-sigstore",
    "sign-by-sigstore-private-key",
    "sign-passphrase-file",
    "src-cert-dir",
    "src-tls-verify",
];

/// A plan that was read.
#[derive(Debug)]
pub(super) struct StoredPlan {
    path: PathBuf,
    plan: PlanFile,
}

/// What a plan keeps of these flags.
pub(super) fn kept(flags: &Values) -> Map<String, Json> {
    let kept = KEPT.iter().filter_map(|name| {
        let value = match (flags.maybe_switch(name), flags.maybe_text(name)) {
            (Some(on), _) => Json::Bool(on),
            (None, Some(text)) => Json::String(text.to_owned()),
            (None, None) => return None,
        };
        Some(((*name).to_owned(), value))
    });
    kept.collect()
}

impl StoredPlan {
    /// Reads what a dry run has written.
    ///
    /// # Errors
    /// If it cannot be read, or is no whole plan.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let what = || format!("reading plan {}", go::quote(&path.to_string_lossy()));
        let text = go::read_at_most(path, PlanFile::LONGEST).with_context(what)?;
        let plan = PlanFile::parse(&text).with_context(what)?;
        Ok(Self { path: path.to_owned(), plan })
    }

    /// The plan itself.
    pub(super) fn into_plan(self) -> PlanFile {
        self.plan
    }

    /// How deletions were judged; none if there was no `--delete`.
    pub(super) fn deletions(&self) -> Option<&Mirroring> {
        self.plan.plan().delete.as_ref()
    }

    /// Refuses what the plan lowers of what the command line asks for, unless that says so too.
    ///
    /// # Errors
    /// If there is something.
    pub(super) fn check(&self, given: &Values) -> Result<()> {
        let plan = self.plan.plan();
        let mut lowered = Lowered::new("plan", &self.path);
        for (side, all) in [("src", "all sources"), ("dest", "all destinations")] {
            let flag = |name: &str| format!("{side}-{name}");
            let switch = plan.flags.get(&flag("tls-verify")).and_then(Json::as_bool);
            if !given.has(&flag("tls-verify")) {
                lowered.tls(switch, given, &flag("tls-verify"), all);
            }
            let folder = plan.flags.get(&flag("cert-dir")).and_then(Json::as_str);
            if !given.has(&flag("cert-dir")) {
                lowered.path(folder, given, &flag("cert-dir"), "certificates");
            }
        }
        let said = |flag: &str| plan.flags.get(flag).and_then(Json::as_str);
        lowered.signing(said, given);
        for place in &plan.places {
            lowered.access(&place.access, given, "dest", &place.place);
        }
        for image in self.plan.images().iter().filter(|image| image.access != Access::default()) {
            let of = registry(&image.source).unwrap_or_else(|| image.source.clone());
            lowered.access(&image.access, given, "src", &of);
        }
        let sources = self.plan.images().iter().map(|image| image.source.as_str());
        let places = plan.places.iter().map(|place| place.place.as_str());
        lowered.credentials(given, sources, places);
        lowered.check(given)
    }

    /// Says what is taken from the plan.
    pub(super) fn say(&self) {
        let flags = self.plan.plan().flags.iter().map(|(name, value)| match value {
            Json::String(text) => format!(" --{name}={}", go::quote(text)),
            value => format!(" --{name}={value}"),
        });
        let flags: String = flags.collect();
        let places: Vec<&str> =
            self.plan.plan().places.iter().map(|it| it.place.as_str()).collect();
        info!(
            "As planned in {}, images go to {}{}{flags}",
            go::quote(&self.path.to_string_lossy()),
            places.join(", "),
            if flags.is_empty() { "" } else { ", with" },
        );
    }

    /// The flags of this run, and those of the plan where this run has none.
    ///
    /// # Errors
    /// If the plan has a flag that is none of a plan's.
    pub(super) fn flags(&self, given: &Values) -> Result<Values> {
        let mut flags = given.clone();
        for (name, value) in &self.plan.plan().flags {
            let value = match value {
                _ if !KEPT.contains(&name.as_str()) => {
                    bail!("a plan says nothing of --{}", name.escape_default())
                }
                Json::Bool(on) => Value::Switch(*on),
                Json::String(text) => Value::Text(text.clone()),
                _ => bail!("--{name} has a value of another kind"),
            };
            if !flags.has(name) {
                flags.set(name, value);
            }
        }
        Ok(flags)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_of_a_plan_give_way_and_have_no_secrets() {
        let mut given = Values::default();
        given.set("preserve-digests", Value::Switch(true));
        given.set("dest-creds", Value::Text("u:secret".to_owned()));
        given.set("format", Value::Text("oci".to_owned()));
        let flags = serde_json::to_string(&kept(&given)).unwrap();
        assert!(!flags.contains("secret"));
        let plan = |flags: &str| {
            let plan = format!(r#"{{"places":[],"platforms":[],"flags":{flags}}}"#);
            let text =
                format!(r#"{{"version":1,"command":"sync","ok":true,"plan":{plan},"results":[]}}"#);
            StoredPlan { path: PathBuf::from("p"), plan: PlanFile::parse(text.as_bytes()).unwrap() }
        };
        let mut now = Values::default();
        now.set("preserve-digests", Value::Switch(false));
        let flags = plan(&flags).flags(&now).unwrap();
        assert_eq!((flags.switch("preserve-digests"), flags.text("format")), (false, Some("oci")));
        assert!(plan(r#"{"dest-creds":"u:p"}"#).flags(&now).is_err());
    }
}
