//! A docker archive with many images.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use skopeo_archive::{Scratch, Stamp, is_special};
use skopeo_image::{Digest, MediaType, RawManifest, Reference};
use tokio::sync::OnceCell;
use tracing::{debug, warn};

use super::destination::{Rest, SavedDestination, accepts, keeps_manifest, shares};
use super::existing::{Old, Target};
use super::name::Item;
use super::saved::Saved;
use super::saving::Saving;
use super::{DockerArchiveName, manifest};
use crate::named::Name;
use crate::paths::refuse_colon;
use crate::tar::{self, Hold};
use crate::{
    Accepts, Error, Held, How, ImageName, LayerForm, Options, Probe, PutManifestError, Role, Wish,
    files,
};

/// An archive that many images are written to at once.
#[derive(Debug)]
pub(crate) struct ManySaved {
    path: PathBuf,
    scratch: Scratch,
    /// What the file was before it was looked into.
    before: Option<Stamp>,
    /// As it is looked at; nobody is kept from writing it.
    seen: Arc<Saving>,
    /// As it is written, once the first image comes: then it is ours alone.
    saving: OnceCell<Arc<Saving>>,
    accepts: Accepts,
}

impl ManySaved {
    /// Opens what is there; nothing is written yet.
    pub(crate) async fn new(place: &str, options: &Options) -> Result<Self, Error> {
        refuse_colon(place)?;
        let mut accepts = accepts(LayerForm::Uncompressed);
        if !is_special(Path::new(place)) {
            accepts.concurrency = files::CONCURRENCY;
        }
        let (path, scratch) = (tar::place(Path::new(place))?, options.scratch());
        let before = Stamp::at(&path);
        let seen = open(&path, &scratch).await?;
        Ok(Self { path, scratch, before, seen, saving: OnceCell::new(), accepts })
    }

    /// Opens the place for one image. Waits until no other program writes the archive.
    pub(crate) async fn create(&self, name: &DockerArchiveName) -> Result<SavedDestination, Error> {
        let tags = name.docker_reference().cloned().into_iter().collect();
        let image = ImageName::DockerArchive(name.clone());
        let (accepts, saving) = (self.accepts.clone(), self.saving().await?.clone());
        Ok(SavedDestination::new(image, accepts, tags, saving, Rest::Others))
    }

    async fn saving(&self) -> Result<&Arc<Saving>, Error> {
        let begin = || async {
            let hold = Hold::take(&self.path).await?;
            let is_same = is_special(&self.path) || Stamp::at(&self.path) == self.before;
            let saving = match is_same {
                true => self.seen.clone(),
                // Somebody has written it since we looked.
                false => open(&self.path, &self.scratch).await?,
            };
            saving.hold(hold);
            Ok(saving)
        };
        self.saving.get_or_try_init(begin).await
    }

    pub(crate) fn look(&self, name: &DockerArchiveName) -> SavedProbe {
        let tags = name.docker_reference().cloned().into_iter().collect();
        let image = ImageName::DockerArchive(name.clone());
        let (saving, accepts) = (self.seen.clone(), self.accepts.clone());
        SavedProbe { image, tags, saving, accepts }
    }

    /// Writes the file under its name, if images have come.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        let saving = self.saving.get().unwrap_or(&self.seen);
        let finished = saving.finish().await;
        saving.hold(None);
        finished
    }
}

async fn open(path: &Path, scratch: &Scratch) -> Result<Arc<Saving>, Error> {
    let (path, scratch) = (path.to_owned(), scratch.clone());
    files::blocking(move || {
        let Target { place, old } = Target::open(&path, &scratch)?;
        Ok(Arc::new(Saving::for_many(place, old.map(Old::look_into).transpose()?)))
    })
    .await
}

/// A place in an archive that an image could be written to.
pub(crate) struct SavedProbe {
    image: ImageName,
    tags: Vec<Reference>,
    saving: Arc<Saving>,
    accepts: Accepts,
}

#[async_trait]
impl Probe for SavedProbe {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    /// The image under the tag has another manifest here than where it came from.
    async fn present(&self) -> Result<Option<Digest>, Error> {
        let [tag] = &self.tags[..] else { return Ok(None) };
        self.saving.present(tag, None).await
    }

    async fn equals(&self, manifest: &RawManifest) -> Result<Option<Digest>, Error> {
        self.saving.equals(&self.tags, manifest).await
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let digest = &wish.blob.digest;
        let size = if shares(wish.role) { self.saving.old_size(digest).await? } else { None };
        let fits = |size| wish.blob.size.is_none_or(|wanted| wanted == size);
        Ok(size.filter(|size| fits(*size)).map(|_| How::Present))
    }

    fn pool(&self) -> Option<String> {
        self.saving.pool()
    }

    fn shares(&self, role: Role) -> bool {
        shares(role)
    }

    fn keeps_manifest(&self, media_type: &MediaType) -> Result<(), PutManifestError> {
        keeps_manifest(media_type)
    }
}

/// The images in an archive, each by all its tags.
pub(crate) async fn held(place: &str, options: &Options) -> Result<Vec<Held>, Error> {
    refuse_colon(place)?;
    let (place, options) = (place.to_owned(), options.clone());
    files::blocking(move || {
        let path = Path::new(&place);
        let saved = options.read_cache.saved.get(path, || Saved::open(path, &options.scratch()))?;
        Ok(held_in(&place, saved.items()))
    })
    .await
}

fn held_in(place: &str, items: &[manifest::SavedItem]) -> Vec<Held> {
    let held = |which, label| {
        let name = DockerArchiveName::held(place, which);
        Held { name: ImageName::DockerArchive(name), label }
    };
    if let [only] = items
        && only.tags().is_empty()
    {
        let home = Path::new(place).file_name().and_then(|name| name.to_str()).unwrap_or("image");
        let home = home.split_once(".tar").map_or(home, |(home, _)| home);
        return vec![held(Item::Only, home.to_owned())];
    }
    let mut found = Vec::new();
    let mut known = HashSet::new();
    for (at, item) in items.iter().enumerate() {
        if item.tags().is_empty() {
            debug!("image @{at} in docker-archive:{place} has no tag");
        }
        for tag in item.tags() {
            let reference = Reference::parse_normalized(tag);
            let Ok(reference) = reference.map_err(drop).and_then(tagged) else {
                warn!("Skipping {tag:?} in docker-archive:{place}: it is not the name of an image");
                continue;
            };
            if !known.insert(reference.clone()) {
                warn!("Skipping another {tag:?} in docker-archive:{place}: the first counts");
                continue;
            }
            let label = reference.to_string();
            found.push(held(Item::Tag(reference), label));
        }
    }
    found
}

/// Only what has a tag and no digest is a tag.
fn tagged(reference: Reference) -> Result<Reference, ()> {
    if reference.tag.is_some() && reference.digest.is_none() { Ok(reference) } else { Err(()) }
}
