//! Bytes as hexadecimal digits.

use std::str::FromStr;

/// Bytes as pairs of hexadecimal digits.
pub(crate) struct Hex(pub(crate) Vec<u8>);

impl FromStr for Hex {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
            [high, low] => Some(digit(*high)?.checked_shl(4)? | digit(*low)?),
            _ => None,
        });
        pairs.collect::<Option<_>>().map(Self).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_digits_and_nothing_else() {
        let read = |text: &str| text.parse::<Hex>().ok().map(|Hex(bytes)| bytes);
        assert_eq!(read("00ffA0"), Some(vec![0, 255, 160]));
        assert_eq!(read(""), Some(Vec::new()));
        for text in ["0", "0g", " 0", "0x00", "\u{fc}"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
