//! Two images for one name.

use std::collections::HashMap;

use skopeo_image::{Classify, ErrorClass};

/// Two images that would be written to one name.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{first} and {second} would both be written to {name}")]
pub struct Clash {
    /// The one that comes first.
    pub first: String,
    /// The other one.
    pub second: String,
    /// The name.
    pub name: String,
}

impl Classify for Clash {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::InvalidInput)
    }

    fn hint(&self) -> Option<String> {
        Some("--scoped or --preserve-path keeps them apart".to_owned())
    }
}

/// Two images in folders of which one would lie in the other, where nobody would find it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{inner} would be written to {inside}, within {outer} in {name}")]
pub struct Nested {
    /// The image that would be in the other one's folder.
    pub inner: String,
    /// Its folder.
    pub inside: String,
    /// The image in whose folder it would be.
    pub outer: String,
    /// That folder.
    pub name: String,
}

impl Classify for Nested {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::InvalidInput)
    }
}

/// Makes sure that no folder of an image lies in that of another, where each pair is a source and
/// the folder it is written to.
///
/// # Errors
/// The first two of which one does.
pub fn nested<S: AsRef<str>, D: AsRef<str>>(images: &[(S, D)]) -> Result<(), Nested> {
    let folders: HashMap<&str, &str> =
        images.iter().map(|(source, folder)| (folder.as_ref(), source.as_ref())).collect();
    for (source, inside) in images {
        let (source, inside) = (source.as_ref(), inside.as_ref());
        let mut above = inside;
        while let Some((folder, _)) = above.rsplit_once('/') {
            if let Some(outer) = folders.get(folder) {
                let (inner, inside) = (source.to_owned(), inside.to_owned());
                let (outer, name) = ((*outer).to_owned(), folder.to_owned());
                return Err(Nested { inner, inside, outer, name });
            }
            above = folder;
        }
    }
    Ok(())
}

/// Makes sure that no name is given twice, where each pair is a source and its destination. The
/// same source may be there again.
///
/// # Errors
/// The first two that clash.
pub fn clash<S: AsRef<str>, D: AsRef<str>>(
    images: impl IntoIterator<Item = (S, D)>,
) -> Result<(), Clash> {
    let mut taken: HashMap<String, String> = HashMap::new();
    for (source, name) in images {
        let (source, name) = (source.as_ref(), name.as_ref());
        match taken.get(name) {
            Some(first) if first != source => {
                let (first, second) = (first.clone(), source.to_owned());
                return Err(Clash { first, second, name: name.to_owned() });
            }
            Some(_) => {}
            None => _ = taken.insert(name.to_owned(), source.to_owned()),
        }
    }
    Ok(())
}
