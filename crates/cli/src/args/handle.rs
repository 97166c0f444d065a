//! A flag as code names it: what asks for its value cannot misspell it, nor mistake its type.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use super::duration::GoDuration;
use super::kind::Kind;

/// The name of a flag whose value is a `T`; of any flag with `()`.
pub(crate) struct Handle<T> {
    prefix: Prefix,
    name: &'static str,
    kind: Kind,
    value: PhantomData<fn() -> T>,
}

/// How the names of flags begin that commands have for each of their images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// There is one image.
    None,
    /// `src-`.
    Source,
    /// `dest-`.
    Destination,
}

impl Prefix {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Source, Self::Destination];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Source => "src-",
            Self::Destination => "dest-",
        }
    }
}

impl Handle<bool> {
    pub(crate) const fn switch(name: &'static str) -> Self {
        Self::new(name, Kind::Switch)
    }
}

impl Handle<String> {
    pub(crate) const fn text(name: &'static str) -> Self {
        Self::new(name, Kind::Text)
    }

    pub(crate) const fn algorithm(name: &'static str) -> Self {
        Self::new(name, Kind::Algorithm)
    }
}

impl Handle<i64> {
    pub(crate) const fn int(name: &'static str) -> Self {
        Self::new(name, Kind::Int)
    }
}

impl Handle<u64> {
    pub(crate) const fn uint(name: &'static str) -> Self {
        Self::new(name, Kind::Uint)
    }
}

impl Handle<GoDuration> {
    pub(crate) const fn duration(name: &'static str) -> Self {
        Self::new(name, Kind::Duration)
    }
}

impl Handle<Vec<String>> {
    pub(crate) const fn texts(name: &'static str) -> Self {
        Self::new(name, Kind::Texts)
    }

    pub(crate) const fn array(name: &'static str) -> Self {
        Self::new(name, Kind::Array)
    }
}

impl Handle<Vec<i64>> {
    pub(crate) const fn ints(name: &'static str) -> Self {
        Self::new(name, Kind::Ints)
    }
}

impl<T> Handle<T> {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self { prefix: Prefix::None, name, kind, value: PhantomData }
    }

    /// The flag of that name for one of several images.
    pub(crate) const fn of(self, prefix: Prefix) -> Self {
        Self { prefix, ..self }
    }

    /// The flag, whatever its value is.
    pub(crate) const fn any(self) -> Handle<()> {
        Handle { prefix: self.prefix, name: self.name, kind: self.kind, value: PhantomData }
    }

    /// The name, without dashes and prefix.
    pub(crate) const fn bare(self) -> &'static str {
        self.name
    }

    /// The name, without dashes.
    pub(crate) fn name(self) -> Cow<'static, str> {
        match self.prefix {
            Prefix::None => Cow::Borrowed(self.name),
            prefix => Cow::Owned(format!("{}{}", prefix.as_str(), self.name)),
        }
    }

    pub(crate) const fn kind(self) -> Kind {
        self.kind
    }
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Handle<T> {}

/// The name, without dashes.
impl<T> fmt::Display for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--{self}")
    }
}
