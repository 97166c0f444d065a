//! One row of the table of flags. Parsing, help, completion and the manual all read it.

use super::handle::Handle;
use super::kind::Kind;
use super::value::Value;

/// A flag of a command.
#[derive(Clone, Debug)]
pub(crate) struct Flag {
    /// The long name, without dashes.
    pub name: String,
    /// The one-letter form.
    pub short: Option<char>,
    /// What its value is.
    pub kind: Kind,
    /// How help names the value; empty means the kind's own name.
    pub placeholder: &'static str,
    /// One line of help.
    pub usage: &'static str,
    /// The value it has where none is joined to it by `=`; otherwise the next word is its value.
    pub alone: Option<&'static str>,
    /// The default, where help shows one.
    pub default: Option<String>,
    /// Whether help lists it.
    pub visible: bool,
    /// The flag whose value this one sets, if it is only another name.
    pub alias_of: Option<String>,
    /// What a shell may offer as its value.
    pub offers: Offers,
}

/// What a shell may offer as the value of a flag or argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offers {
    /// Nothing can be guessed.
    Nothing,
    /// Names of files.
    Files,
    /// Names of folders.
    Folders,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Names of images: a transport, then what belongs to it.
    Images,
}

impl Flag {
    /// A visible flag without a short form.
    pub(crate) fn new<T>(flag: Handle<T>, usage: &'static str) -> Self {
        let kind = flag.kind();
        Self {
            name: flag.name().into_owned(),
            short: None,
            kind,
            placeholder: "",
            usage,
            alone: (kind == Kind::Switch).then_some("true"),
            default: None,
            visible: true,
            alias_of: None,
            offers: Offers::Nothing,
        }
    }

    pub(crate) fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub(crate) fn placeholder(self, placeholder: &'static str) -> Self {
        Self { placeholder, ..self }
    }

    pub(crate) fn alone(self, alone: &'static str) -> Self {
        Self { alone: Some(alone), ..self }
    }

    pub(crate) fn default(self, default: Option<String>) -> Self {
        Self { default, ..self }
    }

    pub(crate) fn hidden(self) -> Self {
        Self { visible: false, ..self }
    }

    pub(crate) fn alias_of<T>(self, flag: Handle<T>) -> Self {
        Self { alias_of: Some(flag.name().into_owned()), visible: false, ..self }
    }

    pub(crate) fn offers(self, offers: Offers) -> Self {
        Self { offers, ..self }
    }

    /// Under which name the value is kept.
    pub(crate) fn key(&self) -> &str {
        self.alias_of.as_deref().unwrap_or(&self.name)
    }

    /// Whether it takes no value unless one is joined to it by `=`.
    pub(crate) fn is_switch(&self) -> bool {
        self.alone.is_some()
    }

    /// What stands between its name and that of its value.
    pub(crate) fn gap(&self) -> &'static str {
        let value = self.value_name();
        // What is joined shows its `=` itself.
        if value.is_empty() || value.starts_with('[') { "" } else { " " }
    }

    /// How help names the value; nothing for a switch.
    pub(crate) fn value_name(&self) -> &'static str {
        if !self.placeholder.is_empty() {
            return self.placeholder;
        }
        match self.kind {
            Kind::Switch => "",
            Kind::Text => "string",
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Duration => "duration",
            Kind::Texts => "strings",
            Kind::Array => "stringArray",
            Kind::Ints => "ints",
            Kind::Algorithm => "algorithm",
        }
    }

    /// The flag as errors name it: `-a, --all`.
    pub(crate) fn spelled(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.name),
            None => format!("--{}", self.name),
        }
    }

    /// Parses one value; the error is Go's sentence about it.
    pub(crate) fn parse(&self, text: &str) -> Result<Value, String> {
        Value::parse(self.kind, text)
    }
}
