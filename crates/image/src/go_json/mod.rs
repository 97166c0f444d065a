//! JSON as Go's `encoding/json` reads and writes it, byte for byte where it is written.
//!
//! The digests of converted manifests, configs and indexes are those of the original only if the
//! bytes are. Struct fields are written in their order; which empty ones are left out is for each
//! struct to say. Maps are written in their own order, so they have to be `BTreeMap`s: Go sorts.

mod decode;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{CharEscape, Formatter};

pub use decode::from_slice;

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
    let mut out = Vec::with_capacity(compact.len() * 2);
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
                depth += 1;
                just_opened = true;
            }
            b',' => line(&mut out, prefix, indent, depth),
            b':' => out.push(b' '),
            _ => {}
        }
    }
    out
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
                escape(out, &fragment[from..at])?;
                from = at + 1;
            } else {
                in_string = byte == b'"';
            }
        }
        escape(out, &fragment[from..])
    }
}

/// Writes text with what Go escapes beyond what JSON asks for.
fn escape<W: ?Sized + Write>(out: &mut W, text: &str) -> io::Result<()> {
    let mut from = 0;
    for (at, found) in text.match_indices(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        out.write_all(&text.as_bytes()[from..at])?;
        for unit in found.chars() {
            write!(out, "\\u{:04x}", u32::from(unit))?;
        }
        from = at + found.len();
    }
    out.write_all(&text.as_bytes()[from..])
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
