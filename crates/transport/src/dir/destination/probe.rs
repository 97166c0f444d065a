//! Looks at a folder that an image could be written to.

use async_trait::async_trait;

use super::accepts;
use crate::dir::DirName;
use crate::options::DirOptions;
use crate::{Accepts, Error, How, ImageName, Probe, Wish, files};

/// Looks at a folder that an image could be written to.
pub(crate) fn look(name: &DirName, options: &DirOptions) -> Result<DirProbe, Error> {
    let accepts = accepts(options)?;
    Ok(DirProbe { image: ImageName::Dir(name.clone()), name: name.clone(), accepts })
}

/// A folder that an image could be written to.
pub(crate) struct DirProbe {
    image: ImageName,
    name: DirName,
    accepts: Accepts,
}

#[async_trait]
impl Probe for DirProbe {
    fn name(&self) -> &ImageName {
        &self.image
    }

    fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    async fn holds(&self, wish: &Wish<'_>) -> Result<Option<How>, Error> {
        let size = files::plain_size(&self.name.blob(&wish.blob.digest));
        Ok(size.filter(|size| files::is_wished(*size, wish)).map(|_| How::Present))
    }
}
