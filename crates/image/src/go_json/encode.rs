//! Writing as Go does.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

/// Writes `value` as Go's `json.Marshal` does.
///
/// # Errors
/// If a map has keys that are no strings, or a `Serialize` of the caller's own fails.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = Vec::with_capacity(256);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Compact))?;
    Ok(out)
}

/// Writes `value` as Go's `json.MarshalIndent` does: every line but the first begins with `prefix`.
///
/// # Errors
/// As [`to_vec`].
pub fn to_vec_indent<T: Serialize + ?Sized>(
    value: &T,
    prefix: &str,
    indent: &str,
) -> Result<Vec<u8>, serde_json::Error> {
    Ok(indented(&to_vec(value)?, prefix, indent))
}

/// Lays out compact JSON on lines.
fn indented(compact: &[u8], prefix: &str, indent: &str) -> Vec<u8> {
    fn line(out: &mut Vec<u8>, prefix: &str, indent: &str, depth: usize) {
        out.push(b'\n');
        out.extend_from_slice(prefix.as_bytes());
        for _ in 0..depth {
            out.extend_from_slice(indent.as_bytes());
        }
    }
    let mut out = Vec::with_capacity(compact.len().saturating_mul(2));
    let (mut depth, mut in_string, mut escaped, mut just_opened) = (0_usize, false, false, false);
    for &byte in compact {
        let closes = !in_string && matches!(byte, b'}' | b']');
        if just_opened && !closes {
            line(&mut out, prefix, indent, depth);
        }
        if closes {
            depth = depth.saturating_sub(1);
            if !just_opened {
                line(&mut out, prefix, indent, depth);
            }
        }
        just_opened = false;
        out.push(byte);
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                just_opened = true;
            }
            b',' => line(&mut out, prefix, indent, depth),
            b':' => out.push(b' '),
            _ => {}
        }
    }
    out
}

/// Adds text that is JSON already: Go drops the white space and escapes for HTML, no more.
pub fn write_compact(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = Compact.write_raw_fragment(out, text);
}

struct Compact;

impl Formatter for Compact {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        escape(out, fragment)
    }

    fn write_char_escape<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::Quote => out.write_all(b"\\\""),
            CharEscape::ReverseSolidus => out.write_all(b"\\\\"),
            CharEscape::Solidus => out.write_all(b"/"),
            CharEscape::Backspace => out.write_all(b"\\b"),
            CharEscape::FormFeed => out.write_all(b"\\f"),
            CharEscape::LineFeed => out.write_all(b"\\n"),
            CharEscape::CarriageReturn => out.write_all(b"\\r"),
            CharEscape::Tab => out.write_all(b"\\t"),
            CharEscape::AsciiControl(byte) => write!(out, "\\u{byte:04x}"),
        }
    }

    fn write_f32<W: ?Sized + Write>(&mut self, out: &mut W, value: f32) -> io::Result<()> {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            return exponent(out, &format!("{value:e}"));
        }
        write!(out, "{value}")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        let size = value.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            return exponent(out, &format!("{value:e}"));
        }
        write!(out, "{value}")
    }

    /// Text that is JSON already: Go drops the white space and escapes for HTML, no more.
    fn write_raw_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let (mut in_string, mut escaped, mut from) = (false, false, 0);
        for (at, byte) in fragment.bytes().enumerate() {
            if in_string {
                in_string = escaped || byte != b'"';
                escaped = !escaped && byte == b'\\';
            } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                escape(out, fragment.get(from..at).unwrap_or_default())?;
                from = at.saturating_add(1);
            } else {
                in_string = byte == b'"';
            }
        }
        escape(out, fragment.get(from..).unwrap_or_default())
    }
}

/// Writes text with what Go escapes beyond what JSON asks for.
fn escape<W: ?Sized + Write>(out: &mut W, text: &str) -> io::Result<()> {
    let mut rest = text;
    while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        let (plain, found) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.write_all(plain.as_bytes())?;
        let mut letters = found.chars();
        if let Some(letter) = letters.next() {
            write!(out, "\\u{:04x}", u32::from(letter))?;
        }
        rest = letters.as_str();
    }
    out.write_all(rest.as_bytes())
}

/// Go writes the sign of every exponent: `1e+21`, `1e-7`.
fn exponent<W: ?Sized + Write>(out: &mut W, shortest: &str) -> io::Result<()> {
    match shortest.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => {
            write!(out, "{mantissa}e+{exponent}")
        }
        _ => out.write_all(shortest.as_bytes()),
    }
}
