//! JSON text that is known to be JSON, taken apart. Nothing here panics whatever the text is; it
//! means something only if it is JSON.

use std::borrow::Cow;

/// Returns whether a member of an object has this name: Go's folding, which is ASCII's and has the
/// two letters outside it that fold into it.
#[must_use]
pub fn is_name(name: &str, key: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    name.chars().map(fold).eq(key.chars().map(fold))
}

/// What is between the brackets of a list or an object, value by value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside<'a>(&'a str);

impl<'a> Inside<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let mut inside = text.chars();
        inside.next();
        inside.next_back();
        Self(inside.as_str())
    }

    /// The next item of a list.
    pub(super) fn item(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches([' ', '\t', '\n', '\r', ',']);
        let (value, rest) = rest.split_at_checked(end_of_value(rest))?;
        self.0 = rest;
        (!value.is_empty()).then_some(value)
    }

    /// The next member of an object: its key, in quotes, and its value.
    pub(super) fn member(&mut self) -> Option<(&'a str, &'a str)> {
        let key = self.item()?;
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r', ':']);
        Some((key, self.item()?))
    }
}

fn end_of_value(text: &str) -> usize {
    match text.as_bytes().first() {
        Some(b'"') => end_of_string(text),
        Some(b'[' | b'{') => end_of_container(text),
        _ => {
            let ends = |byte| b" \t\n\r,]}:".contains(&byte);
            text.bytes().position(ends).unwrap_or(text.len())
        }
    }
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.saturating_add(1),
            _ => {}
        }
    }
    text.len()
}

fn end_of_container(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth = depth.saturating_add(1),
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at.saturating_add(1);
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// What a string says. Surrogates that are no pair become U+FFFD.
pub(super) fn unquote(text: &str) -> Cow<'_, str> {
    let Inside(mut rest) = Inside::of(text);
    if !rest.contains('\\') {
        return Cow::Borrowed(rest);
    }
    let mut said = String::with_capacity(rest.len());
    while let Some((plain, escape)) = rest.split_once('\\') {
        said.push_str(plain);
        let mut letters = escape.chars();
        let letter = letters.next();
        rest = letters.as_str();
        said.push(match letter {
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => unit(&mut rest),
            Some(other) => other,
            None => break,
        });
    }
    said.push_str(rest);
    Cow::Owned(said)
}

/// The character whose UTF-16 is written in hexadecimal, here and perhaps in the escape behind.
fn unit(rest: &mut &str) -> char {
    let first = hex(rest).unwrap_or_default();
    if !(0xD800..0xE000).contains(&first) {
        return char::from_u32(first.into()).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let mut behind = *rest;
    let second = behind.strip_prefix("\\u").and_then(|digits| {
        behind = digits;
        hex(&mut behind)
    });
    let pair = second.and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    match pair {
        Some(letter) => {
            *rest = behind;
            letter
        }
        None => char::REPLACEMENT_CHARACTER,
    }
}

fn hex(rest: &mut &str) -> Option<u16> {
    let (digits, behind) = rest.split_at_checked(4)?;
    *rest = behind;
    u16::from_str_radix(digits, 16).ok()
}
