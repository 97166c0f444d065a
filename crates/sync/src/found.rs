//! What is wanted of sources, and what was found in them: values only.

use std::fmt;
use std::sync::Arc;

use skopeo_copy::Request;
use skopeo_image::Reference;
use skopeo_transport::{ImageName, Options};

use crate::destination::{NamedTarget, Target};
use crate::naming;
use crate::select::Choice;

/// What is asked of the images of a source, besides where they come from.
#[derive(Debug)]
pub(crate) struct CopySpec {
    /// Where they go, and under which names.
    pub(crate) targets: Vec<NamedTarget>,
    /// What is asked of each copy.
    pub(crate) request: Arc<Request>,
}

/// A source of which images are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) what: What,
    /// What it takes to read it.
    pub(crate) options: Arc<Options>,
    pub(crate) spec: Arc<CopySpec>,
}

/// What of it.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Images of a repository, which is without tag and digest.
    Repository(Reference, TagSet),
    /// Images that a place holds.
    Collection(Target, Arc<Choice>),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(repository, _) => write!(f, "docker://{repository}"),
            Self::Collection(place, _) => place.fmt(f),
        }
    }
}

/// Which of them.
#[derive(Clone, Debug)]
pub(crate) enum TagSet {
    /// These, by tag or digest; nobody is asked whether they are there.
    Named(Vec<Reference>),
    /// Those of all that the registry lists that are chosen.
    Listed(Arc<Choice>),
}

/// An image that is to be copied.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) name: ImageName,
    pub(crate) origin: Origin,
}

/// What it is called where it comes from.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// In a registry.
    Reference(Reference),
    /// In any other place.
    Label(String),
}

impl Origin {
    pub(crate) fn named(&self) -> naming::Origin<'_> {
        match self {
            Self::Reference(reference) => naming::Origin::Reference(reference),
            Self::Label(label) => naming::Origin::Label(label),
        }
    }
}

/// The images of one source: a repository, or a place.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) images: Vec<Found>,
    /// Whether these are all that are wanted of it: what else it may have is not.
    pub(crate) whole: bool,
    /// What it takes to read them.
    pub(crate) options: Arc<Options>,
    pub(crate) spec: Arc<CopySpec>,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Finding {
    pub(crate) groups: Vec<Group>,
    /// How many sources could not be asked; it has been said of each.
    pub(crate) failed: usize,
    /// Names among them that are none, so that nobody knows what they stand for.
    pub(crate) unnamed: usize,
    /// Sources of which it is not known what they have, or that seem to have nothing, and why.
    pub(crate) missing: Vec<(Wanted, String)>,
}
