//! Reading as Go does: keys of structs match without regard to case, the last of equal keys counts
//! (objects and lists under equal keys are merged), `null` leaves a field empty, bytes that are no
//! UTF-8 become U+FFFD, numbers are what the field's own type can be.
//!
//! These rules decide what a manifest means, so they are kept even where they are odd: two readers
//! that take different layers from the same signed bytes would be an attack.
//!
//! No tree is built: a value is a piece of the text, and is looked into when its field is read.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::Error;

use super::text::{Inside, is_name, unquote};

/// A value, and those that stood under the same key before it, which Go reads into the same place.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    earlier: Vec<&'a str>,
    text: &'a str,
}

/// What kind of value it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    fn of(text: &str) -> Self {
        match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::String,
            Some(b'[') => Self::Array,
            Some(b'{') => Self::Object,
            _ => Self::Number,
        }
    }
}

impl<'a> Node<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { earlier: Vec::new(), text }
    }

    /// What stands there last, be it `null`.
    fn kind(&self) -> Kind {
        Kind::of(self.text)
    }

    fn all(&self) -> impl Iterator<Item = &'a str> {
        self.earlier.iter().copied().chain([self.text])
    }

    fn put(&mut self, text: &'a str) {
        self.earlier.push(std::mem::replace(&mut self.text, text));
    }

    /// A `null` behind a value leaves that value. Values of several kinds fit no field.
    fn scalar(self) -> Result<Self, Error> {
        if self.earlier.is_empty() {
            return Ok(self);
        }
        let mut found = Self::new("null");
        for text in self.all().filter(|text| Kind::of(text) != Kind::Null) {
            if !matches!(found.kind(), Kind::Null) && found.kind() != Kind::of(text) {
                return Err(Error::custom(format_args!(
                    "found {} and {} under the same key",
                    found.kind(),
                    Kind::of(text)
                )));
            }
            found.text = text;
        }
        Ok(found)
    }

    /// The values since the last `null`, which empties what is a list, a map or may be missing.
    fn since_null(self) -> Self {
        let Self { mut earlier, text } = self;
        if let Some(at) = earlier.iter().rposition(|text| Kind::of(text) == Kind::Null) {
            earlier.drain(..=at);
        }
        if Kind::of(text) == Kind::Null {
            earlier.clear();
        }
        Self { earlier, text }
    }

    /// The items of a list: those of the lists before it are read into the same places.
    fn items(self) -> Result<Vec<Self>, Error> {
        let mut items: Vec<Self> = Vec::new();
        let mut length = 0_usize;
        for text in self.all() {
            if Kind::of(text) != Kind::Array {
                return Err(Error::custom(format_args!(
                    "found {} under the same key as an array",
                    Kind::of(text)
                )));
            }
            length = 0;
            let mut inside = Inside::of(text);
            while let Some(item) = inside.item() {
                match items.get_mut(length) {
                    Some(node) => node.put(item),
                    None => items.push(Self::new(item)),
                }
                length = length.saturating_add(1);
            }
            if length == 0 {
                items.clear();
            }
        }
        items.truncate(length);
        Ok(items)
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let node = self.scalar()?;
            match node.kind() {
                Kind::Null => visitor.$visit(0),
                Kind::Number => match node.text.parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => {
                        let number: String = node.text.chars().take(40).collect();
                        let number = format!("number {number}");
                        Err(Error::invalid_value(Unexpected::Other(&number), &visitor))
                    }
                },
                _ => node.deserialize_any(visitor),
            }
        }
    )* };
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Error;

    /// Where any value is wanted, the last counts.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.text;
        match self.kind() {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool => visitor.visit_bool(text == "true"),
            Kind::Number => {
                if let Ok(value) = text.parse::<u64>() {
                    visitor.visit_u64(value)
                } else if let Some(value) = text.parse::<i64>().ok().filter(|value| *value != 0) {
                    visitor.visit_i64(value)
                } else {
                    self.deserialize_f64(visitor)
                }
            }
            Kind::String => match unquote(text) {
                Cow::Borrowed(said) => visitor.visit_borrowed_str(said),
                Cow::Owned(said) => visitor.visit_string(said),
            },
            Kind::Array => {
                let mut inside = Inside::of(text);
                let items = std::iter::from_fn(|| inside.item().map(Node::new));
                visitor.visit_seq(SeqDeserializer::new(items))
            }
            Kind::Object => {
                let mut inside = Inside::of(text);
                let members = std::iter::from_fn(|| inside.member());
                let members = members.map(|(key, value)| (unquote(key), Node::new(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.earlier.is_empty() {
            return match self.kind() {
                Kind::Null => visitor.visit_none(),
                _ => visitor.visit_some(self),
            };
        }
        let containers = |text| matches!(Kind::of(text), Kind::Array | Kind::Object);
        let node = if self.all().any(containers) { self.since_null() } else { self.scalar()? };
        match node.kind() {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(node),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_map(Fields::new(&self, fields)?)
    }

    // Go leaves what `null` is read into as it was: empty.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.earlier.is_empty() {
            return match self.kind() {
                Kind::Null => Node::new("[]").deserialize_any(visitor),
                _ => self.deserialize_any(visitor),
            };
        }
        let node = self.since_null();
        match node.kind() {
            Kind::Null => Node::new("[]").deserialize_any(visitor),
            _ => visitor.visit_seq(SeqDeserializer::new(node.items()?.into_iter())),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.since_null();
        if node.kind() == Kind::Null {
            return Node::new("{}").deserialize_any(visitor);
        }
        if node.earlier.is_empty() {
            return node.deserialize_any(visitor);
        }
        let mut members = Vec::new();
        for text in node.all() {
            require_object(text)?;
            let mut inside = Inside::of(text);
            while let Some((key, value)) = inside.member() {
                members.push((unquote(key), Node::new(value)));
            }
        }
        visitor.visit_map(MapDeserializer::new(members.into_iter()))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.scalar()?;
        match node.kind() {
            Kind::Null => visitor.visit_str(""),
            _ => node.deserialize_any(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.scalar()?;
        match node.kind() {
            Kind::Null => visitor.visit_bool(false),
            _ => node.deserialize_any(visitor),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let node = self.scalar()?;
        match node.kind() {
            Kind::Null => visitor.visit_f64(0.0),
            Kind::Number => match node.text.parse::<f64>() {
                Ok(value) if value.is_finite() => visitor.visit_f64(value),
                _ => Err(Error::custom("a number out of range")),
            },
            _ => node.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }
}

impl<'de> IntoDeserializer<'de, Error> for Node<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        })
    }
}

fn require_object(text: &str) -> Result<(), Error> {
    match Kind::of(text) {
        Kind::Object => Ok(()),
        other => Err(Error::custom(format_args!("found {other} instead of an object"))),
    }
}

/// The fields of a struct, each once, those that are `null` left out.
struct Fields<'a> {
    rest: std::vec::IntoIter<(&'static str, Node<'a>)>,
    value: Option<Node<'a>>,
}

impl<'a> Fields<'a> {
    /// `null` leaves a struct as it was.
    fn new(node: &Node<'a>, known: &'static [&'static str]) -> Result<Self, Error> {
        let mut found: Vec<(&'static str, Node<'a>)> = Vec::with_capacity(known.len());
        for text in node.all().filter(|text| Kind::of(text) != Kind::Null) {
            require_object(text)?;
            let mut inside = Inside::of(text);
            while let Some((key, value)) = inside.member() {
                let key = unquote(key);
                let exact = known.iter().find(|name| **name == key);
                let folded = || known.iter().find(|name| is_name(name, &key));
                let Some(&name) = exact.or_else(folded) else { continue };
                match found.iter_mut().find(|(earlier, _)| *earlier == name) {
                    Some((_, node)) => node.put(value),
                    None => found.push((name, Node::new(value))),
                }
            }
        }
        found.retain(|(_, node)| node.all().any(|text| Kind::of(text) != Kind::Null));
        Ok(Self { rest: found.into_iter(), value: None })
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(name.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let value =
            self.value.take().ok_or_else(|| Error::custom("found a value without a key"))?;
        seed.deserialize(value)
    }
}
