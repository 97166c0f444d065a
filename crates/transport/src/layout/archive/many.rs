//! A tar with a layout of many images.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::super::many::accepts;
use super::super::{LayoutName, labels};
use super::destination::{ArchiveDestination, Rest};
use super::packing::{ArchiveProbe, Images, Packing};
use super::{ArchiveName, PackedLayout};
use skopeo_archive::{Stamp, is_special};

use crate::tar::{self, Hold};
use crate::{Accepts, Error, Held, ImageName, Options, files};

/// A tar that many images are written to at once, as they are.
#[derive(Debug)]
pub(crate) struct ManyPacked {
    place: PathBuf,
    options: Options,
    /// What the file was before it was looked into.
    before: Option<Stamp>,
    /// As it is looked at; nobody is kept from writing it.
    seen: Arc<Packing>,
    /// As it is written, once the first image comes: then it is ours alone.
    packing: OnceCell<Arc<Packing>>,
    accepts: Accepts,
}

impl ManyPacked {
    /// Opens what is there; nothing is written yet.
    pub(crate) async fn new(place: &str, options: &Options) -> Result<Self, Error> {
        let place = tar::place(ArchiveName(LayoutName::of_all(place)?).path())?;
        let before = Stamp::at(&place);
        let seen = Arc::new(Packing::added_to(&place, options, Images::Many).await?);
        let (packing, accepts) = (OnceCell::new(), accepts(&options.layout));
        Ok(Self { place, options: options.clone(), before, seen, packing, accepts })
    }

    /// Opens the place for one image. Waits until no other program writes the archive.
    pub(crate) async fn create(&self, name: &ArchiveName) -> Result<ArchiveDestination, Error> {
        let packing = self.packing().await?.clone();
        ArchiveDestination::new(name, packing, self.accepts.clone(), Rest::Others)
    }

    async fn packing(&self) -> Result<&Arc<Packing>, Error> {
        let begin = || async {
            let hold = Hold::take(&self.place).await?;
            let is_same = is_special(&self.place) || Stamp::at(&self.place) == self.before;
            let packing = match is_same {
                true => self.seen.clone(),
                // Somebody has written it since we looked.
                false => {
                    let opened = Packing::added_to(&self.place, &self.options, Images::Many);
                    Arc::new(opened.await?)
                }
            };
            packing.hold(hold);
            Ok(packing)
        };
        self.packing.get_or_try_init(begin).await
    }

    pub(crate) fn look(&self, name: &ArchiveName) -> Result<ArchiveProbe, Error> {
        ArchiveProbe::new(name, self.seen.clone(), self.accepts.clone())
    }

    /// Writes the file under its name, if anything in it has changed.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        let packing = self.packing.get().unwrap_or(&self.seen);
        let finished = packing.finish().await;
        packing.hold(None);
        finished
    }
}

/// The images in a layout in a tar.
pub(crate) async fn held(place: &str, options: &Options) -> Result<Vec<Held>, Error> {
    let all = ArchiveName(LayoutName::of_all(place)?);
    let options = options.clone();
    files::blocking(move || {
        let layout = PackedLayout::open(all.resolved(), &options)?;
        let home = all.0.home();
        let home = home.split_once(".tar").map_or(home, |(home, _)| home);
        let found = labels::labels(&layout.index, home, &format!("oci-archive:{}", all.0.path));
        let held = found.into_iter().map(|(wanted, label)| Held {
            name: ImageName::OciArchive(ArchiveName(LayoutName { wanted, ..all.0.clone() })),
            label,
        });
        Ok(held.collect())
    })
    .await
}
