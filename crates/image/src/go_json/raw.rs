//! JSON that is kept as it was written.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Error;
use serde_json::value::RawValue;

use super::budget::{Budget, in_gos_words, require_shallow, too_many};
use super::decode::Node;
use super::syntax;
use super::text::{Inside, unquote};

/// A value of a document, of which only the text is kept: all values of a document share it.
#[derive(Clone)]
pub struct Raw {
    document: Arc<String>,
    from: u32,
    to: u32,
}

impl Raw {
    /// Reads a document. Of its values nothing is made yet; those that are lists or objects in it
    /// are counted when they are asked for.
    ///
    /// # Errors
    /// If it is no JSON, or more than may be read.
    pub fn parse(bytes: Vec<u8>, budget: &mut Budget) -> Result<Self, Error> {
        let document = budget.take(bytes)?;
        require_shallow(&document)?;
        let whole: &RawValue = serde_json::from_str(&document)
            .map_err(|error| in_gos_words(syntax::of_whole(document.as_bytes()), error))?;
        let (from, to) = place(&document, whole.get()).ok_or_else(|| too_many(0))?;
        Ok(Self { document: Arc::new(document), from, to })
    }

    /// Returns a value of our own, as [`to_vec`](super::to_vec) writes it.
    ///
    /// # Errors
    /// If JSON has no words for it.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        Self::parse(super::to_vec(value)?, &mut Budget::default())
    }

    /// Returns an object of these members, in this order.
    ///
    /// # Errors
    /// If it is longer than may be read.
    pub fn object<'a>(
        members: impl IntoIterator<Item = (&'a str, &'a Self)>,
    ) -> Result<Self, Error> {
        let mut text = vec![b'{'];
        for (key, value) in members {
            if text.len() > 1 {
                text.push(b',');
            }
            text.extend(super::to_vec(key)?);
            text.push(b':');
            text.extend(value.as_str().as_bytes());
        }
        text.push(b'}');
        Self::parse(text, &mut Budget::default())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let range = usize::try_from(self.from).ok().zip(usize::try_from(self.to).ok());
        range.and_then(|(from, to)| self.document.get(from..to)).unwrap_or("null")
    }

    /// Returns whether it is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.as_str().starts_with('{')
    }

    /// Returns whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_str() == "null"
    }

    /// Returns the members of an object, in order, the doubled ones too.
    ///
    /// # Errors
    /// If there are more than may be read.
    pub fn members(&self, budget: &Budget) -> Result<Vec<(Cow<'_, str>, Self)>, Error> {
        let mut members = Vec::new();
        if self.is_object() {
            let mut inside = Inside::of(self.as_str());
            while let Some((key, value)) = inside.member() {
                if members.len() >= budget.values() {
                    return Err(too_many(budget.values()));
                }
                members.push((unquote(key), self.part(value)));
            }
        }
        Ok(members)
    }

    /// Returns the items of a list; `None` if it is none.
    ///
    /// # Errors
    /// If there are more than may be read.
    pub fn items(&self, budget: &Budget) -> Result<Option<Vec<Self>>, Error> {
        if !self.as_str().starts_with('[') {
            return Ok(None);
        }
        // Counted before they are made.
        let most = budget.values();
        let mut count = Inside::of(self.as_str());
        let mut many = 0_usize;
        while count.item().is_some() {
            if many == most {
                return Err(too_many(most));
            }
            many = many.saturating_add(1);
        }
        let mut items = Vec::with_capacity(many);
        let mut inside = Inside::of(self.as_str());
        while let Some(item) = inside.item() {
            items.push(self.part(item));
        }
        Ok(Some(items))
    }

    /// Reads it as Go would, within [`Budget::default`].
    ///
    /// # Errors
    /// If it does not fit `T`, or is more than may be read.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        Budget::default().measure(self.as_str())?;
        T::deserialize(Node::new(self.as_str()))
    }

    /// Some of the text.
    fn part(&self, text: &str) -> Self {
        let (from, to) = place(&self.document, text).unwrap_or_default();
        Self { document: self.document.clone(), from, to }
    }
}

/// Where a part of a text is in it.
fn place(document: &str, part: &str) -> Option<(u32, u32)> {
    let from = part.as_ptr().addr().checked_sub(document.as_ptr().addr())?;
    let to = from.checked_add(part.len())?;
    Some((u32::try_from(from).ok()?, u32::try_from(to).ok()?))
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
