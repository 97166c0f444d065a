//! A layout with many images.

use std::sync::Arc;

use super::destination::{self, LayoutDestination, LayoutProbe};
use super::editor::{Editor, Replaced};
use super::folder::Folder;
use super::labels::labels;
use super::{LayoutName, LayoutNameError};
use crate::options::LayoutOptions;
use crate::{Accepts, Error, Held, ImageName, files};

/// A layout that many images are written to, as they are.
#[derive(Debug)]
pub(crate) struct Many {
    editor: Arc<Editor>,
    accepts: Accepts,
}

impl Many {
    pub(crate) fn new(place: &str, options: &LayoutOptions) -> Result<Self, LayoutNameError> {
        let folder = Folder::new(&LayoutName::of_all(place)?, options);
        Ok(Self { editor: Editor::new(folder, Replaced::Goes), accepts: accepts(options) })
    }

    pub(crate) async fn create(&self, name: &LayoutName) -> Result<LayoutDestination, Error> {
        destination::create_in(&self.editor, name, self.accepts.clone())
    }

    pub(crate) fn look(&self, name: &LayoutName) -> Result<LayoutProbe, Error> {
        destination::look_in(&self.editor, name, self.accepts.clone())
    }

    /// Removes the images whose names others have got.
    pub(crate) async fn finish(&self) -> Result<(), Error> {
        let editor = self.editor.clone();
        files::blocking(move || editor.sweep()).await
    }
}

/// What a layout takes that keeps what it gets: manifests of any type.
pub(super) fn accepts(options: &LayoutOptions) -> Accepts {
    Accepts { manifests: Vec::new(), ..destination::accepts(options) }
}

/// The images in a layout.
pub(crate) async fn held(place: &str, options: &LayoutOptions) -> Result<Vec<Held>, Error> {
    let all = LayoutName::of_all(place)?;
    let folder = Folder::new(&all, options);
    files::blocking(move || {
        let found = labels(&folder.index()?, all.home(), &format!("oci:{}", all.path));
        let held = found.into_iter().map(|(wanted, label)| Held {
            name: ImageName::Oci(LayoutName { wanted, ..all.clone() }),
            label,
        });
        Ok(held.collect())
    })
    .await
}
