//! The grammar, as functions that take the longest match from the front of a text.
//!
//! ```text
//! reference := name [":" tag] ["@" digest]
//! name      := domain "/" component *("/" component)
//! domain    := (host *("." host) | "[" ipv6 "]") [":" digits]
//! component := alnum *(separator alnum)          ; lower case only
//! separator := "." | "_" | "__" | "-" *("-")
//! tag       := word *127(word | "." | "-")
//! ```

/// The length of the domain at the front of `text`; 0 where there is none.
pub(super) fn domain(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = if bytes.first() == Some(&b'[') { bracketed(bytes) } else { hosts(bytes) };
    if end > 0 && bytes.get(end) == Some(&b':') {
        let digits = count(&bytes[end + 1..], |b| b.is_ascii_digit());
        if digits > 0 {
            end += 1 + digits;
        }
    }
    end
}

fn bracketed(bytes: &[u8]) -> usize {
    let inner = count(&bytes[1..], |b| b.is_ascii_hexdigit() || b == b':');
    if inner > 0 && bytes.get(1 + inner) == Some(&b']') { inner + 2 } else { 0 }
}

fn hosts(bytes: &[u8]) -> usize {
    let mut end = 0;
    loop {
        let start = if end == 0 { 0 } else { end + 1 };
        let part = &bytes[start.min(bytes.len())..];
        let mut len = count(part, |b| b.is_ascii_alphanumeric() || b == b'-');
        while len > 0 && part[len - 1] == b'-' {
            len -= 1;
        }
        if len == 0 || part[0] == b'-' {
            return end;
        }
        end = start + len;
        if bytes.get(end) != Some(&b'.') {
            return end;
        }
    }
}

/// Whether `text` is a repository path: components between slashes.
pub(super) fn is_path(text: &str) -> bool {
    text.split('/').all(|part| is_component(part.as_bytes()))
}

fn is_component(bytes: &[u8]) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut at = 0;
    loop {
        let len = count(&bytes[at..], alnum);
        if len == 0 {
            return false;
        }
        at += len;
        at += match &bytes[at..] {
            [] => return true,
            [b'_', b'_', ..] => 2,
            [b'.' | b'_', ..] => 1,
            rest => match count(rest, |b| b == b'-') {
                0 => return false,
                dashes => dashes,
            },
        };
    }
}

/// Whether `text` is a tag.
pub(super) fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = text.as_bytes();
    matches!(bytes.len(), 1..=128)
        && word(bytes[0])
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

/// Whether `text` has the shape of a digest, of whatever algorithm.
pub(super) fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    algorithm.split(['-', '_', '+', '.']).all(|part| {
        part.bytes().all(|b| b.is_ascii_alphanumeric())
            && part.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
    }) && hex.len() >= 32
        && hex.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `text` could be an image ID: 64 lower-case hexadecimal digits.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn count(bytes: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|&&b| wanted(b)).count()
}
