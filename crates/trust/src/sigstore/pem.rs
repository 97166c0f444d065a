//! PEM (RFC 7468), as Go reads it: text between blocks is passed over, and what is behind a block
//! is told.

use base64::Engine as _;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What stands in its first line, such as `PUBLIC KEY`.
    pub(super) label: String,
    /// What is encoded in it.
    pub(super) bytes: Vec<u8>,
}

/// The first block of a text that can be read, and what is behind it.
pub(super) fn first(text: &str) -> Option<(Block, &str)> {
    let mut rest = text;
    loop {
        let (before, found) = split_at(rest, BEGIN)?;
        let own_line = before.is_empty() || before.ends_with('\n');
        if own_line && let Some(block) = block(found) {
            return Some(block);
        }
        rest = found;
    }
}

/// A public key as a text.
pub(super) fn public_key(der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("{BEGIN}PUBLIC KEY{DASHES}\n{body}\n{END}PUBLIC KEY{DASHES}\n")
}

/// A block whose lines are as short as everybody wants them.
pub(super) fn block_of(label: &str, der: &[u8]) -> String {
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("{BEGIN}{label}{DASHES}\n{}\n{END}{label}{DASHES}\n", lines.join("\n"))
}

/// The certificates that a text is, with nothing else in it.
pub(super) fn certificates(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut rest = text.trim();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (block, more) = first(rest).ok_or("error during PEM decoding")?;
        found.push(block.bytes);
        rest = more;
    }
    Ok(found)
}

/// What begins right behind `-----BEGIN `, if it is a whole block.
fn block(text: &str) -> Option<(Block, &str)> {
    let (first, body) = text.split_once('\n')?;
    let label = first.trim_end().strip_suffix(DASHES)?;
    let (inside, after) = split_at(body, END)?;
    if !(inside.is_empty() || inside.ends_with('\n')) {
        return None;
    }
    let after = after.strip_prefix(label)?.strip_prefix(DASHES)?;
    let (end, rest) = after.split_once('\n').unwrap_or((after, ""));
    if !end.trim().is_empty() {
        return None;
    }
    // Headers, as old encrypted keys have them, end with an empty line.
    let body = match inside.lines().next() {
        Some(line) if line.contains(':') => split_at(inside, "\n\n")?.1,
        _ => inside,
    };
    let text: String = body.chars().filter(|it| !it.is_ascii_whitespace()).collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    Some((Block { label: label.to_owned(), bytes }, rest))
}

fn split_at<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    text.split_once(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let ok = |text: &str| {
            first(text).map(|(block, rest)| (block.label, block.bytes, rest.to_owned()))
        };
        let one = |rest: &str| Some(("X Y".to_owned(), vec![0, 16, 131], rest.to_owned()));
        for (text, expected) in [
            ("-----BEGIN X Y-----\nABCD\n-----END X Y-----\n", one("")),
            ("-----BEGIN X Y-----\nABCD\n-----END X Y-----", one("")),
            ("-----BEGIN X Y-----\r\nAB\r\nCD\r\n-----END X Y-----\r\n", one("")),
            ("junk\n-----BEGIN X Y-----\nABCD\n-----END X Y-----\nmore", one("more")),
            ("-----BEGIN X Y-----\na: b\n\nABCD\n-----END X Y-----\n", one("")),
            (
                "-----BEGIN X Y-----\nABC\n-----END X Y-----\n-----BEGIN X Y-----\nABCD\n-----END X Y-----\n",
                one(""),
            ),
            ("junk -----BEGIN X Y-----\nABCD\n-----END X Y-----\n", None),
            ("-----BEGIN X Y-----\nABCD\n-----END X-----\n", None),
            ("-----BEGIN X Y-----\nABCD\n-----END X Y----- junk\n", None),
            ("-----BEGIN X Y-----\nABCD-----END X Y-----\n", None),
            ("-----BEGIN X Y-----\nA?CD\n-----END X Y-----\n", None),
            ("-----BEGIN X Y-----\nABCD\n", None),
            ("", None),
        ] {
            assert_eq!(ok(text), expected, "{text:?}");
        }
    }

    #[test]
    fn certificates_and_nothing_else() {
        let block = "-----BEGIN CERTIFICATE-----\nABCD\n-----END CERTIFICATE-----\n";
        assert_eq!(certificates("").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(certificates(&format!("\n{block}{block}\n")).map(|it| it.len()), Ok(2));
        assert!(certificates(&format!("{block}x")).is_err());
    }
}
