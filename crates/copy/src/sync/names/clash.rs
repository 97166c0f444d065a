//! Two images for one name.

use std::collections::HashMap;

use skopeo_image::ErrorClass;

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

impl Clash {
    /// What kind of failure it is.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::InvalidInput
    }

    /// What would help.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "--scoped or --preserve-path keeps them apart"
    }
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
