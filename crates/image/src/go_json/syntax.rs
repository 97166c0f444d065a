//! What is wrong with a text that is no JSON, in the words of Go's scanner.

use std::fmt::Write as _;

/// Returns what Go's `json.Unmarshal` says about a text that is not one JSON value; `None` if it is
/// one.
#[must_use]
pub fn of_whole(text: &[u8]) -> Option<String> {
    let mut scanner = Scanner { rest: text };
    let wrong = match scanner.value() {
        Err(wrong) => wrong,
        Ok(()) => Some(unexpected(scanner.after_space()?, "after top-level value")),
    };
    Some(wrong.unwrap_or_else(|| "unexpected end of JSON input".to_owned()))
}

/// What Go's `json.Decoder` says about a text that does not begin with a JSON value.
pub(super) fn of_first(text: &[u8]) -> Option<String> {
    let is_empty = (Scanner { rest: text }).after_space().is_none();
    let wrong = Scanner { rest: text }.value().err()?;
    Some(wrong.unwrap_or_else(|| if is_empty { "EOF" } else { "unexpected EOF" }.to_owned()))
}

/// What is wrong; nothing if the text ends too early.
type Wrong = Option<String>;

enum Inside {
    Array,
    Object,
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The next byte that is no space.
    fn after_space(&mut self) -> Option<u8> {
        self.skip_space();
        self.next()
    }

    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Takes the next byte that is no space, if it is this one.
    fn closes(&mut self, end: u8) -> bool {
        self.skip_space();
        match self.rest {
            [first, rest @ ..] if *first == end => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn value(&mut self) -> Result<(), Wrong> {
        let mut inside = Vec::new();
        loop {
            match self.after_space().ok_or(None)? {
                b'{' if !self.closes(b'}') => {
                    inside.push(Inside::Object);
                    self.key()?;
                    continue;
                }
                b'[' if !self.closes(b']') => {
                    inside.push(Inside::Array);
                    continue;
                }
                b'{' | b'[' => {}
                b'"' => self.string()?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                other => return Err(Some(unexpected(other, "looking for beginning of value"))),
            }
            // What may follow it, until another value begins.
            loop {
                let Some(around) = inside.last() else { return Ok(()) };
                match (around, self.after_space().ok_or(None)?) {
                    (Inside::Array, b',') => break,
                    (Inside::Object, b',') => {
                        self.key()?;
                        break;
                    }
                    (Inside::Array, b']') | (Inside::Object, b'}') => drop(inside.pop()),
                    (Inside::Array, other) => {
                        return Err(Some(unexpected(other, "after array element")));
                    }
                    (Inside::Object, other) => {
                        return Err(Some(unexpected(other, "after object key:value pair")));
                    }
                }
            }
        }
    }

    fn key(&mut self) -> Result<(), Wrong> {
        match self.after_space().ok_or(None)? {
            b'"' => self.string()?,
            other => {
                let place = "looking for beginning of object key string";
                return Err(Some(unexpected(other, place)));
            }
        }
        match self.after_space().ok_or(None)? {
            b':' => Ok(()),
            other => Err(Some(unexpected(other, "after object key"))),
        }
    }

    /// The rest of a string.
    fn string(&mut self) -> Result<(), Wrong> {
        loop {
            match self.next().ok_or(None)? {
                b'"' => return Ok(()),
                b'\\' => match self.next().ok_or(None)? {
                    b'b' | b'f' | b'n' | b'r' | b't' | b'\\' | b'/' | b'"' => {}
                    b'u' => {
                        for _ in 0..4 {
                            let digit = self.next().ok_or(None)?;
                            if !digit.is_ascii_hexdigit() {
                                let place = "in \\u hexadecimal character escape";
                                return Err(Some(unexpected(digit, place)));
                            }
                        }
                    }
                    other => return Err(Some(unexpected(other, "in string escape code"))),
                },
                control @ ..0x20 => return Err(Some(unexpected(control, "in string literal"))),
                _ => {}
            }
        }
    }

    /// The rest of a word.
    fn literal(&mut self, word: &str) -> Result<(), Wrong> {
        for expected in word.bytes().skip(1) {
            let found = self.next().ok_or(None)?;
            if found != expected {
                let expected = char::from(expected);
                let place = format!("in literal {word} (expecting '{expected}')");
                return Err(Some(unexpected(found, &place)));
            }
        }
        Ok(())
    }

    /// The rest of a number.
    fn number(&mut self, first: u8) -> Result<(), Wrong> {
        let first = match first {
            b'-' => self.digit("in numeric literal")?,
            first => first,
        };
        if first != b'0' {
            self.digits();
        }
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            self.digit("after decimal point in numeric literal")?;
            self.digits();
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.digit("in exponent of numeric literal")?;
            self.digits();
        }
        Ok(())
    }

    fn digit(&mut self, place: &str) -> Result<u8, Wrong> {
        let found = self.next().ok_or(None)?;
        if found.is_ascii_digit() { Ok(found) } else { Err(Some(unexpected(found, place))) }
    }

    fn digits(&mut self) {
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }
}

fn unexpected(byte: u8, place: &str) -> String {
    format!("invalid character {} {place}", quoted(byte))
}

/// As Go quotes it; a byte is taken for the character of that number.
fn quoted(byte: u8) -> String {
    let mut text = String::from("'");
    let _ = match byte {
        b'\'' => write!(text, "\\'"),
        b'\\' => write!(text, "\\\\"),
        7 => write!(text, "\\a"),
        8 => write!(text, "\\b"),
        9 => write!(text, "\\t"),
        10 => write!(text, "\\n"),
        11 => write!(text, "\\v"),
        12 => write!(text, "\\f"),
        13 => write!(text, "\\r"),
        ..0x20 | 0x7f => write!(text, "\\x{byte:02x}"),
        0x80..=0xa0 | 0xad => write!(text, "\\u{byte:04x}"),
        other => write!(text, "{}", char::from(other)),
    };
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_as_go() {
        for (text, expected) in [
            ("", "unexpected end of JSON input"),
            ("  ", "unexpected end of JSON input"),
            ("{", "unexpected end of JSON input"),
            ("[1,", "unexpected end of JSON input"),
            ("{\"a", "unexpected end of JSON input"),
            ("tru", "unexpected end of JSON input"),
            ("-", "unexpected end of JSON input"),
            ("<html>", "invalid character '<' looking for beginning of value"),
            ("\u{feff}{}", "invalid character 'ï' looking for beginning of value"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[01]", "invalid character '1' after array element"),
            ("{1:2}", "invalid character '1' looking for beginning of object key string"),
            ("{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
            ("{\"a\" 1}", "invalid character '1' after object key"),
            ("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair"),
            ("{\"a\":1,}", "invalid character '}' looking for beginning of object key string"),
            ("{} x", "invalid character 'x' after top-level value"),
            ("troe", "invalid character 'o' in literal true (expecting 'u')"),
            ("nul\n", "invalid character '\\n' in literal null (expecting 'l')"),
            ("\"a\nb\"", "invalid character '\\n' in string literal"),
            ("\"\u{1}\"", "invalid character '\\x01' in string literal"),
            ("\"\\x\"", "invalid character 'x' in string escape code"),
            ("\"\\u00g0\"", "invalid character 'g' in \\u hexadecimal character escape"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1e+x", "invalid character 'x' in exponent of numeric literal"),
            ("NaN", "invalid character 'N' looking for beginning of value"),
        ] {
            assert_eq!(of_whole(text.as_bytes()).as_deref(), Some(expected), "{text:?}");
        }
        for (text, expected) in [
            ("", "EOF"),
            (" \n", "EOF"),
            ("{\"tags\":[", "unexpected EOF"),
            ("<", "invalid character '<' looking for beginning of value"),
        ] {
            assert_eq!(of_first(text.as_bytes()).as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(of_first(b"{} x"), None);
        for text in ["{}", " [ ] ", "[{\"a\":[1,-0.5e+3,true,null,\"\\u00e9\\n\"]},{}]", "0"] {
            assert_eq!(of_whole(text.as_bytes()), None, "{text}");
        }
    }

    /// It finds something wrong with what `serde_json` takes for no JSON, and with nothing else.
    #[test]
    fn judges_as_the_parser_does() {
        let letters = b"{}[]\",:-+.eE01tfn\\u \n'/<ab";
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        for _ in 0..200_000 {
            let mut text = Vec::new();
            for _ in 0..(state % 12) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                text.push(letters[usize::try_from(state % letters.len() as u64).unwrap()]);
            }
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let read = serde_json::from_slice::<&serde_json::value::RawValue>(&text);
            let shown = String::from_utf8_lossy(&text);
            assert_eq!(of_whole(&text).is_none(), read.is_ok(), "{shown:?}: {read:?}");
        }
    }
}
