//! One line of the foot: a name, a bar, and as many figures as the terminal has room for.

use std::time::Duration;

use indicatif::HumanBytes;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How wide bars are.
const WIDEST: usize = 38;
const NARROWEST: usize = 8;

/// The name of what a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// Its beginning counts, and the second is shorter.
    Beginning(String, String),
    /// Its end counts: the tag of an image.
    End(String),
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Figures {
    /// Said first, the most important first.
    pub(super) words: Vec<String>,
    /// Of what the bar shows, and what is all of it; 0 if that is not known.
    pub(super) position: u64,
    pub(super) length: u64,
    /// Whether these are bytes, which are shown.
    pub(super) bytes: bool,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
}

impl Figures {
    /// The figures as text, the most important first.
    fn texts(&self) -> Vec<String> {
        let mut texts = self.words.clone();
        match (self.bytes, self.length) {
            (true, 0) => texts.push(HumanBytes(self.position).to_string()),
            (true, all) => {
                texts.push(format!("{} / {}", HumanBytes(self.position), HumanBytes(all)));
            }
            (false, _) => {}
        }
        texts.extend(self.rate.map(|rate| format!("{}/s", HumanBytes(rate))));
        texts.extend(self.left().map(|left| format!("{} left", short(left))));
        texts
    }

    /// How long it will take.
    fn left(&self) -> Option<Duration> {
        let rate = self.rate.filter(|rate| self.bytes && *rate > 0)?;
        let rest = self.length.checked_sub(self.position).filter(|rest| *rest > 0)?;
        Some(Duration::from_secs(rest.div_ceil(rate)))
    }
}

/// The line for a terminal of so many columns. It is shorter than that: what fills the last column
/// makes some terminals begin a new row.
pub(super) fn line(columns: usize, name: &Name, figures: &Figures) -> String {
    let room = columns.saturating_sub(1);
    let (full, least) = match name {
        Name::Beginning(full, short) => (full, short.width()),
        Name::End(full) => (full, full.width().min(room / 3)),
    };
    let mut tail = String::new();
    for text in figures.texts() {
        let longer = if tail.is_empty() { text } else { format!("{tail} | {text}") };
        if least + 1 + longer.width() > room {
            break;
        }
        tail = longer;
    }
    let rest = if tail.is_empty() { room } else { room - tail.width() - 1 };
    let name = match name {
        _ if full.width() <= rest => full.clone(),
        Name::Beginning(_, short) => beginning(short, rest),
        Name::End(full) => end(full, rest),
    };
    // Two brackets and a blank.
    let bar = rest.saturating_sub(name.width() + 3).min(WIDEST);
    let bar = match figures.length {
        0 => String::new(),
        _ if bar < NARROWEST => String::new(),
        _ => format!(" {}", drawn(bar, figures.position, figures.length)),
    };
    let text = format!("{name}{bar} {tail}");
    text.trim_end().to_owned()
}

/// `[===>----]`.
fn drawn(width: usize, position: u64, length: u64) -> String {
    let part = u128::from(position.min(length)) * width as u128 / u128::from(length.max(1));
    let full = usize::try_from(part).unwrap_or(width).min(width);
    let head = usize::from(full < width && full > 0);
    let done = "=".repeat(full - head);
    format!("[{done}{}{}]", ">".repeat(head), "-".repeat(width - full))
}

/// As much of the beginning of a text as fits.
pub(super) fn beginning(text: &str, room: usize) -> String {
    cut(text.chars(), room).into_iter().collect()
}

/// As much of the end of a text as fits, behind three points.
fn end(text: &str, room: usize) -> String {
    const POINTS: &str = "...";
    if room <= POINTS.len() {
        return cut(text.chars().rev(), room).into_iter().rev().collect();
    }
    let shown: String = cut(text.chars().rev(), room - POINTS.len()).into_iter().rev().collect();
    format!("{POINTS}{shown}")
}

fn cut(letters: impl Iterator<Item = char>, room: usize) -> Vec<char> {
    let mut used = 0;
    letters
        .take_while(|letter| {
            used += letter.width().unwrap_or_default();
            used <= room
        })
        .collect()
}

/// `42s`, `3m05s`, `2h07m`, `3d04h`.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Name {
        Name::Beginning("Copying blob e3b0c44298fc".into(), "blob e3b0c44298fc".into())
    }

    fn figures() -> Figures {
        Figures {
            position: 12 << 20,
            length: 30 << 20,
            bytes: true,
            rate: Some(2 << 20),
            ..Figures::default()
        }
    }

    #[test]
    fn lines_show_what_fits() {
        for (columns, expected) in [
            (10, "blob e3b0"),
            (24, "blob e3b0c44298fc"),
            (40, "blob e3b0c44298fc 12.00 MiB / 30.00 MiB"),
            (60, "blob e3b0c44298fc 12.00 MiB / 30.00 MiB | 2.00 MiB/s"),
            (80, "Copying blob e3b0c44298fc 12.00 MiB / 30.00 MiB | 2.00 MiB/s | 9s left"),
            (
                200,
                "Copying blob e3b0c44298fc [==============>-----------------------] 12.00 MiB / 30.00 MiB | 2.00 MiB/s | 9s left",
            ),
        ] {
            let line = line(columns, &blob(), &figures());
            assert!(line.width() < columns, "{columns}: {line}");
            assert_eq!(line, expected, "{columns}");
        }
    }

    #[test]
    fn the_end_of_a_name_counts() {
        let name =
            Name::End("registry.example.com:5000/a/very/long/path/of/folders/nginx:1.25".into());
        for columns in [40, 80] {
            assert!(line(columns, &name, &figures()).contains("nginx:1.25"), "{columns}");
        }
        assert_eq!(line(8, &Name::End("nginx:1.25".into()), &Figures::default()), "...1.25");
    }

    #[test]
    fn no_line_reaches_the_last_column() {
        let names =
            [blob(), Name::End("映像/図書館/nginx:最新".repeat(3)), Name::End(String::new())];
        for columns in 0..220 {
            for name in &names {
                for (position, length) in
                    [(0, 0), (5, 0), (7, 3), (u64::MAX, u64::MAX), (1, u64::MAX)]
                {
                    let words = vec!["12/200".to_owned(), "3 copied, 1 failed".to_owned()];
                    let figures = Figures { position, length, words, ..figures() };
                    let line = line(columns, name, &figures);
                    assert!(line.width() <= columns.saturating_sub(1), "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn times_are_short() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (185, "3m05s"), (7620, "2h07m"), (273_600, "3d04h")]
        {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn bars_are_full_at_the_end_only() {
        assert_eq!(drawn(4, 0, 9), "[----]");
        assert_eq!(drawn(4, 5, 9), "[=>--]");
        assert_eq!(drawn(4, 8, 9), "[==>-]");
        assert_eq!(drawn(4, 9, 9), "[====]");
        assert_eq!(drawn(4, 12, 9), "[====]");
    }
}
