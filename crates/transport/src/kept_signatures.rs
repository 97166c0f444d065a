//! Which forms of signatures a place keeps.

use skopeo_image::SignatureKind;

/// Which signatures can be stored beside an image. A form that cannot be has the sentence to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptSignatures {
    /// All forms.
    All,
    /// Bundles only, which are referrers of the image.
    Bundles(&'static str),
    /// None.
    Nothing(&'static str),
}

impl KeptSignatures {
    /// Returns an error if a signature of that form cannot be stored.
    ///
    /// # Errors
    /// The sentence to show, if not.
    pub fn require(self, kind: SignatureKind) -> Result<(), &'static str> {
        match (self, kind) {
            (Self::All, _) | (Self::Bundles(_), SignatureKind::Bundle) => Ok(()),
            (Self::Bundles(reason) | Self::Nothing(reason), _) => Err(reason),
        }
    }

    /// Returns what can be stored in both of two places.
    #[must_use]
    pub fn both(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing(_), _) | (_, Self::All) => self,
            (_, Self::Nothing(_)) | (Self::All, _) => other,
            (Self::Bundles(_), Self::Bundles(_)) => self,
        }
    }

    /// Returns whether two places keep the same forms.
    #[must_use]
    pub fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

#[cfg(test)]
mod tests {
    use super::KeptSignatures as Kept;
    use super::*;

    #[test]
    fn forms_that_are_kept() {
        use SignatureKind::{Bundle, Sigstore, Simple};
        for (kept, expected) in [
            (Kept::All, [true; 3]),
            (Kept::Bundles("no"), [false, false, true]),
            (Kept::Nothing("no"), [false; 3]),
        ] {
            let found = [Simple, Sigstore, Bundle].map(|kind| kept.require(kind).is_ok());
            assert_eq!(found, expected, "{kept:?}");
        }
        let all = [Kept::All, Kept::Bundles("no"), Kept::Nothing("no")];
        for (one, first) in all.iter().enumerate() {
            for (other, second) in all.iter().enumerate() {
                assert_eq!(first.both(*second), all[one.max(other)]);
                assert_eq!(first.is_like(*second), one == other);
            }
        }
    }
}
