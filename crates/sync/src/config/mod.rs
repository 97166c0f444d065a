//! The file of `sync --src yaml`: version 1, which the original has, and version 2.

pub mod v1;
pub mod v2;
mod values;

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_path_to_error::Segment;
use serde_saphyr::{DefaultMessageFormatter, Error, Location, MessageFormatter as _, Spanned};
use skopeo_image::{Classify, ErrorClass};

use crate::naming::Template;

/// A file of either version.
#[derive(Debug)]
pub enum SyncFile {
    /// Registries, and what to copy from each.
    V1(v1::SourceFile),
    /// Pairs of what to copy and where to.
    V2(v2::File),
}

/// What a file may need of the world around it.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// The value of a variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Parses a template for names; the error is a whole sentence.
    pub template: &'a dyn Fn(&str) -> Result<Template, String>,
}

/// A mapping in the order of its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedMap<T>(pub Vec<(String, T)>);

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The line, from 1; 0 if there is none.
    line: u64,
    /// The column, from 1.
    column: u64,
    /// The key, with those above it; nothing if the file is not YAML.
    key: String,
    problem: String,
}

impl SyncFile {
    /// Reads the text of a file. It is of version 2 if a key `version` says so.
    ///
    /// # Errors
    /// If it is no YAML, or what a key says is of another kind than wanted.
    pub fn parse(text: &str, world: World<'_>) -> Result<Self, Malformed> {
        match version(text).map(|version| (version.referenced, version.value)) {
            Some((_, Peek::Scalar(version))) if version == "2" => {
                v2::File::parse(text, world).map(Self::V2)
            }
            Some((place, Peek::Scalar(version))) => {
                let problem = format!("{version:?} is no version that is known: use 2");
                Err(Malformed::at(place, "version", problem))
            }
            _ => v1::SourceFile::parse(text).map(Self::V1),
        }
    }
}

impl Classify for Malformed {
    fn class(&self) -> Option<ErrorClass> {
        Some(ErrorClass::InvalidInput)
    }
}

impl Malformed {
    fn nowhere(key: &str, problem: impl fmt::Display) -> Self {
        Self::at(Location::UNKNOWN, key, problem)
    }

    fn at(place: Location, key: &str, problem: impl fmt::Display) -> Self {
        let (key, problem) = (key.to_owned(), problem.to_string());
        Self { line: place.line(), column: place.column(), key, problem }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("yaml: ")?;
        if self.line > 0 {
            write!(f, "line {}, column {}: ", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Malformed {}

/// Reads a document whose errors name line, column and key; nothing at all is the default.
fn read<T: DeserializeOwned + Default>(text: &str) -> Result<T, Malformed> {
    let mut key = String::new();
    let read = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        let mut track = serde_path_to_error::Track::new();
        let tracked = serde_path_to_error::Deserializer::new(deserializer, &mut track);
        Option::<T>::deserialize(tracked).inspect_err(|_| key = spelled(&track.path()))
    });
    let error = match read {
        Ok(read) => return Ok(read.unwrap_or_default()),
        Err(error) => error,
    };
    let place = error.location().unwrap_or(Location::UNKNOWN);
    let problem = match error.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key {field:?}, expected one of {}", expected.join(", "))
        }
        error => {
            for_users(&DefaultMessageFormatter.format_message(error).escape_debug().to_string())
        }
    };
    Err(Malformed::at(place, &key, problem.replace("\\\"", "\"").replace("\\'", "'")))
}

/// What the reader of YAML says, without what only its callers can do, and in the words of YAML.
fn for_users(problem: &str) -> String {
    let problem = problem.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
    problem
        .replace("expected sequence start", "a list is expected here, such as [A, B]")
        .replace("expected mapping start", "a mapping is expected here, such as KEY: VALUE")
}

/// The path to a key as people write it.
fn spelled(path: &serde_path_to_error::Path) -> String {
    let mut spelled = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => spelled.push_str(&format!("[{index}]")),
            // What is spanned has its value in there.
            Segment::Map { key } if key != "value" => {
                let dot = if spelled.is_empty() { "" } else { "." };
                spelled.push_str(&format!("{dot}{key}"));
            }
            _ => {}
        }
    }
    spelled
}

/// What stands behind the key `version`, even if something else is wrong after it.
fn version(text: &str) -> Option<Spanned<Peek>> {
    struct Find<'a>(&'a mut Option<Spanned<Peek>>);

    impl<'de> Visitor<'de> for Find<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a mapping")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(key) = map.next_key::<String>()? {
                if key == "version" {
                    *self.0 = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        }
    }

    let mut found = None;
    // Whatever is wrong is found, and said, by who reads all of it.
    let _ = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        deserializer.deserialize_map(Find(&mut found))
    });
    found
}

/// What stands behind a key, as far as it tells the version.
enum Peek {
    Scalar(String),
    Other,
}

impl<'de> Deserialize<'de> for Peek {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Peek;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Peek, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Peek::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Peek, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Peek::Other)
            }

            fn visit_str<E>(self, text: &str) -> Result<Peek, E> {
                Ok(Peek::Scalar(text.to_owned()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Peek, E> {
                Ok(Peek::Scalar(number.to_string()))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Peek, E> {
                Ok(Peek::Scalar(number.to_string()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Peek, E> {
                Ok(Peek::Scalar(number.to_string()))
            }

            fn visit_bool<E>(self, truth: bool) -> Result<Peek, E> {
                Ok(Peek::Scalar(truth.to_string()))
            }

            fn visit_unit<E>(self) -> Result<Peek, E> {
                Ok(Peek::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl<T> Default for OrderedMap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrderedMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = OrderedMap<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OrderedMap<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(OrderedMap(pairs))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

/// A key without a value says as much as none.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
