//! The name of an image in the store of podman and buildah.
//!
//! What is typed may mean a name or the beginning of an id, and names no store as a rule: only the
//! store itself tells. A name is *settled* when it is opened; until then it prints as it was typed.

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use skopeo_config::{Store, StoreSpec};
use skopeo_image::{Digest, PolicyScope, Reference, ReferenceError};

use crate::named::Name;

/// How much of an id must be typed at least.
const SHORTEST_ID: usize = 3;

/// The name of an image in a store of podman, buildah and CRI-O, or of a place for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StorageName {
    /// The store as it was typed; the usual one if none was.
    spec: Option<Arc<StoreSpec>>,
    /// What stands behind the store.
    text: String,
    reference: Option<Reference>,
    id: Id,
    store: Option<Arc<Store>>,
}

/// The id in a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Id {
    /// There is none.
    None,
    /// All of it.
    Whole(String),
    /// A text behind `@` that must be the beginning of one.
    Beginning(String),
    /// There may be one: the whole name could be the beginning of it.
    Perhaps,
}

/// Why a text is no name of an image in a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageNameError {
    /// The part in brackets makes no sense.
    #[error("invalid reference")]
    Store,
    /// What should be a store is something else.
    #[error(
        "{0:?} is not a store: use [DRIVER@GRAPHROOT+RUNROOT], or nothing for the default store"
    )]
    NotAStore(String),
    /// A folder of the store is named by a relative path.
    #[error("path name is not absolute")]
    Relative,
    /// Nothing stands behind the store.
    #[error("\"\" is an empty reference: invalid reference")]
    Empty,
    /// Nothing stands behind the last `@`.
    #[error("empty trailing digest or ID in {0:?}: invalid reference")]
    NothingBehind(String),
    /// What stands behind the last `@` is no image's.
    #[error("{0:?} does not look like an image ID or digest: invalid reference")]
    NoId(String),
    /// The name is outside the grammar.
    #[error("parsing named reference {text:?}")]
    Reference {
        /// The name.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ReferenceError,
    },
}

impl StorageName {
    /// Parses what stands behind the colon.
    pub(crate) fn parse(details: &str) -> Result<Self, StorageNameError> {
        let (spec, text) = match details.strip_prefix('[') {
            None => (None, details),
            Some(rest) => {
                let (spec, text) = rest.split_once(']').ok_or(StorageNameError::Store)?;
                (Some(Arc::new(parse_spec(spec)?)), text)
            }
        };
        if text.is_empty() {
            return Err(StorageNameError::Empty);
        }
        let (named, id) = match text.rsplit_once('@') {
            None => (text, Id::None),
            Some((_, "")) => return Err(StorageNameError::NothingBehind(text.to_owned())),
            Some((_, behind)) if behind.parse::<Digest>().is_ok() => (text, Id::None),
            Some((named, behind)) if is_id(behind) => (named, Id::Whole(behind.to_owned())),
            Some((named, behind)) if behind.len() >= SHORTEST_ID => {
                (named, Id::Beginning(behind.to_owned()))
            }
            Some((_, behind)) => return Err(StorageNameError::NoId(behind.to_owned())),
        };
        let may_be_id = named.len() >= SHORTEST_ID && !named.contains(['@', ':']);
        let id = if id == Id::None && may_be_id { Id::Perhaps } else { id };
        let reference = match parse_reference(named) {
            // It may yet turn out to be an id.
            Err(_) if id == Id::Perhaps => None,
            parsed => parsed?,
        };
        Ok(Self { spec, text: text.to_owned(), reference, id, store: None })
    }

    /// The name of one of the images of a store, which is named by the part in brackets, or by
    /// nothing.
    pub(crate) fn within(place: &str, label: &str) -> Result<Self, StorageNameError> {
        let is_store = place.is_empty() || (place.starts_with('[') && place.ends_with(']'));
        if !is_store {
            return Err(StorageNameError::NotAStore(place.to_owned()));
        }
        Self::parse(&format!("{place}{label}"))
    }

    /// The store as it was typed.
    pub(super) fn spec(&self) -> Option<&StoreSpec> {
        self.spec.as_deref()
    }

    /// Whether it must be known which images there are, to say what it means.
    pub(super) fn needs_images(&self) -> bool {
        matches!(self.id, Id::Beginning(_) | Id::Perhaps)
    }

    /// The name in it, with a tag or a digest.
    pub(super) fn reference(&self) -> Option<&Reference> {
        self.reference.as_ref()
    }

    /// The whole id in it.
    pub(super) fn id(&self) -> Option<&str> {
        match &self.id {
            Id::Whole(id) => Some(id),
            Id::None | Id::Beginning(_) | Id::Perhaps => None,
        }
    }

    /// The name of the same image, in a store that is known now. `find` looks for the only image
    /// there whose id begins so.
    ///
    /// # Errors
    /// If it was neither a name nor the beginning of an id.
    pub(super) fn settle(
        &self,
        store: Store,
        find: impl FnOnce(&str) -> Option<String>,
    ) -> Result<Self, StorageNameError> {
        let (id, reference) = match &self.id {
            Id::None | Id::Whole(_) => (self.id.clone(), self.reference.clone()),
            Id::Beginning(beginning) => {
                let found = find(beginning);
                let id = found.ok_or_else(|| StorageNameError::NoId(beginning.clone()))?;
                (Id::Whole(id), self.reference.clone())
            }
            Id::Perhaps => match find(&self.text) {
                Some(id) => (Id::Whole(id), None),
                None => (Id::None, parse_reference(&self.text)?),
            },
        };
        Ok(Self {
            spec: self.spec.clone(),
            text: self.text.clone(),
            reference,
            id,
            store: Some(Arc::new(store)),
        })
    }

    /// The name and the id, as the original shows them.
    fn shown(&self) -> String {
        let reference = self.reference.as_ref().map(ToString::to_string).unwrap_or_default();
        let id = self.id().map(|id| format!("@{id}")).unwrap_or_default();
        reference + &id
    }
}

/// `DRIVER@GRAPHROOT+RUNROOT:OPTION,OPTION`, where all but the folder may be missing.
fn parse_spec(text: &str) -> Result<StoreSpec, StorageNameError> {
    let (driver, rest) = match text.split_once('@') {
        Some((driver, rest)) => (Some(driver), rest),
        None => (None, text),
    };
    if driver == Some("") || rest.is_empty() {
        return Err(StorageNameError::Store);
    }
    let (roots, options) = match rest.split_once(':') {
        Some((roots, options)) => (roots, options.split(',').map(str::to_owned).collect()),
        None => (rest, Vec::new()),
    };
    let (graph_root, run_root) = roots.split_once('+').unwrap_or((roots, ""));
    let folder = |text: &str| match text {
        "" => Ok(None),
        text if text.starts_with('/') => Ok(Some(clean(text))),
        _ => Err(StorageNameError::Relative),
    };
    Ok(StoreSpec {
        driver: driver.map(str::to_owned),
        graph_root: folder(graph_root)?,
        run_root: folder(run_root)?,
        options,
    })
}

/// An absolute path without `.`, `..` and doubled slashes, by its text alone.
fn clean(path: &str) -> PathBuf {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    PathBuf::from(format!("/{}", parts.join("/")))
}

/// A name with a tag or a digest; `None` for the empty one of `@ID`.
fn parse_reference(text: &str) -> Result<Option<Reference>, StorageNameError> {
    if text.is_empty() {
        return Ok(None);
    }
    match Reference::parse_normalized(text) {
        Ok(reference) => Ok(Some(reference.or_latest())),
        Err(source) => Err(StorageNameError::Reference { text: text.to_owned(), source }),
    }
}

/// Whether a text has the form of a whole id.
fn is_id(text: &str) -> bool {
    format!("sha256:{text}").parse::<Digest>().is_ok()
}

/// The store `[overlay@/graph+/run]`.
fn graph() -> Store {
    Store {
        driver: skopeo_config::StoreDriver::Overlay,
        graph_root: "/graph".into(),
        run_root: "/run".into(),
        image_store: None,
        additional_stores: Vec::new(),
        transient: false,
        ignore_chown_errors: false,
        force_mask: None,
        mount_program: false,
        rootless: false,
        options: Vec::new(),
    }
}

/// As [`storage_name`](crate::fuzzing::storage_name).
pub(crate) fn check_name(text: &str) {
    const KNOWN: &str = "beefcafe89abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let Ok(name) = StorageName::parse(text) else { return };
    let printed = name.to_string();
    assert!(StorageName::parse(&printed).is_ok_and(|again| again == name), "{text:?} {printed:?}");
    let store = graph();
    let find = |beginning: &str| KNOWN.starts_with(beginning).then(|| KNOWN.to_owned());
    let Ok(settled) = name.settle(store.clone(), find) else { return };
    assert!(settled.reference().is_some() || settled.id().is_some(), "{text:?}");
    let shown = settled.to_string();
    let again = StorageName::parse(&shown).and_then(|again| again.settle(store, |_| None));
    assert!(again.is_ok_and(|again| again.to_string() == shown), "{text:?} {shown:?}");
    let scope = settled.policy_scope();
    assert!(scope.namespaces.iter().all(|wider| wider.len() < scope.identity.len()), "{scope:?}");
}

impl Name for StorageName {
    fn transport(&self) -> &'static str {
        "containers-storage"
    }

    fn policy_scope(&self) -> PolicyScope {
        let image = self.shown();
        let mut namespaces = Vec::new();
        let (store, root) = match &self.store {
            Some(store) => {
                let root = store.graph_root.display();
                (format!("[{}@{root}]", store.driver), format!("[{root}]"))
            }
            // A name that was never opened is in no store that a policy could name.
            None => (String::new(), String::new()),
        };
        if let Some(reference) = &self.reference {
            if self.id().is_some() {
                namespaces.push(format!("{store}{reference}"));
            }
            let Reference { name, tag, digest } = reference;
            if let (Some(tag), Some(_)) = (tag, digest) {
                namespaces.push(format!("{store}{name}:{tag}"));
            }
            let name = name.to_string();
            namespaces.push(format!("{store}{name}"));
            let above =
                std::iter::successors(Some(name.as_str()), |name| Some(name.rsplit_once('/')?.0));
            namespaces.extend(above.skip(1).map(|above| format!("{store}{above}")));
        }
        namespaces.push(store.clone());
        namespaces.push(root);
        PolicyScope {
            name: String::new(),
            transport: self.transport(),
            identity: format!("{store}{image}"),
            namespaces: namespaces.into_iter().filter(|scope| !scope.is_empty()).collect(),
            reference: self.reference.as_ref().map(ToString::to_string),
        }
    }

    fn docker_reference(&self) -> Option<&Reference> {
        self.reference.as_ref()
    }
}

impl fmt::Display for StorageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.store, &self.spec) {
            (Some(store), _) => {
                let (graph, run) = (store.graph_root.display(), store.run_root.display());
                write!(f, "[{}@{graph}+{run}", store.driver)?;
                if !store.options.is_empty() {
                    write!(f, ":{}", store.options.join(","))?;
                }
                write!(f, "]{}", self.shown())
            }
            (None, Some(spec)) => {
                f.write_str("[")?;
                if let Some(driver) = &spec.driver {
                    write!(f, "{driver}@")?;
                }
                if let Some(root) = &spec.graph_root {
                    write!(f, "{}", root.display())?;
                }
                match &spec.run_root {
                    Some(root) => write!(f, "+{}", root.display())?,
                    // Something must stand there.
                    None if spec.graph_root.is_none() => f.write_str("+")?,
                    None => {}
                }
                if !spec.options.is_empty() {
                    write!(f, ":{}", spec.options.join(","))?;
                }
                write!(f, "]{}", self.text)
            }
            (None, None) => f.write_str(&self.text),
        }
    }
}
