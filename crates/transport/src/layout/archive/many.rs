//! A tar with a layout of many images.

use std::sync::Arc;

use super::super::many::accepts;
use super::super::{LayoutName, labels};
use super::destination::{ArchiveDestination, Rest};
use super::packing::{Packing, Seen};
use super::{ArchiveName, PackedLayout};
use crate::glance::Glance;
use crate::{Accepts, Error, Held, ImageName, Options, files};

/// A tar that many images are written to at once, as they are.
#[derive(Debug)]
pub(crate) struct ManyPacked {
    packing: Arc<Packing>,
    accepts: Accepts,
}

impl ManyPacked {
    /// Opens what is there; nothing is written yet.
    pub(crate) async fn new(place: &str, options: &Options) -> Result<Self, Error> {
        let all = ArchiveName(LayoutName::of_all(place)?);
        let packing = Arc::new(Packing::added_to(&all, options).await?);
        Ok(Self { packing, accepts: accepts(&options.layout) })
    }

    pub(crate) fn create(&self, name: &ArchiveName) -> Result<ArchiveDestination, Error> {
        ArchiveDestination::new(name, self.packing.clone(), self.accepts.clone(), Rest::Others)
    }

    pub(crate) fn look(&self, name: &ArchiveName) -> Result<Glance<Seen>, Error> {
        let sight = Seen::new(self.packing.clone(), name.entry())?;
        let accepts = self.accepts.clone();
        Ok(Glance { name: ImageName::OciArchive(name.clone()), accepts, sight })
    }

    /// Writes the file under its name, if anything in it has changed.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        self.packing.finish().await
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
        let held = found.into_iter().map(|(entry, label)| Held {
            name: ImageName::OciArchive(ArchiveName(LayoutName { entry, ..all.0.clone() })),
            label,
        });
        Ok(held.collect())
    })
    .await
}
