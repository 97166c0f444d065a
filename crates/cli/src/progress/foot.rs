//! The foot of a terminal, where bars are drawn.
//!
//! indicatif leaves the cursor behind the last bar. A terminal that becomes narrower then wraps the
//! bars that stand there, and nobody knows how many rows they take. Here the cursor waits at the
//! beginning of the first bar: terminals keep it there when they lay out their rows anew, and
//! whatever is below it can be erased at any time.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;

use indicatif::{ProgressDrawTarget, TermLike};

use super::line::beginning;
use super::{Stream, lock};

/// How often bars are drawn at most, each second.
const FRAMES: u8 = 12;

/// What a terminal measures that does not say.
const COLUMNS: usize = 80;
const ROWS: u16 = 24;

/// Erases the rest of a row, and everything behind the cursor. Where the cursor is at the very first
/// place of the screen the latter makes some terminals keep what was there, frame by frame, in their
/// history: so it comes behind the first row.
const REST_OF_ROW: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";

/// Where bars go that are shown on this stream.
pub(super) fn target(stream: Stream) -> ProgressDrawTarget {
    ProgressDrawTarget::term_like_with_hz(
        Box::new(Foot { stream, frame: Mutex::default() }),
        FRAMES,
    )
}

/// The columns of the terminal that a stream leads to.
pub(super) fn columns(stream: Stream) -> usize {
    size(stream).map_or(COLUMNS, |(columns, _)| usize::from(columns))
}

#[cfg(windows)]
fn size(_: Stream) -> Option<(u16, u16)> {
    None
}

#[cfg(unix)]
fn size(stream: Stream) -> Option<(u16, u16)> {
    use rustix::termios::tcgetwinsize;

    let size = match stream {
        Stream::Stdout => tcgetwinsize(io::stdout()),
        Stream::Stderr => tcgetwinsize(io::stderr()),
    };
    size.ok().filter(|size| size.ws_col > 0).map(|size| (size.ws_col, size.ws_row))
}

/// A terminal as indicatif writes to it. Only whole frames reach the real one.
#[derive(Debug)]
struct Foot {
    stream: Stream,
    /// The lines of the frame that is being written; the last is not complete.
    frame: Mutex<Frame>,
}

#[derive(Debug, Default)]
struct Frame {
    lines: Vec<String>,
    line: String,
}

impl Frame {
    /// indicatif ends a line by filling it with blanks.
    fn write(&mut self, text: &str) {
        if text.trim_matches(' ').is_empty() {
            self.lines.extend(Some(std::mem::take(&mut self.line)).filter(|line| !line.is_empty()));
        } else {
            self.line.push_str(text);
        }
    }

    /// What draws the frame on so many columns, and leaves the cursor where it begins.
    fn take(&mut self, columns: usize) -> String {
        self.write("");
        // Lines that did not change meanwhile may have been laid out for another width.
        let lines = self.lines.drain(..).map(|line| beginning(&line, columns.saturating_sub(1)));
        let lines: Vec<String> = lines.collect();
        let mut text = "\r".to_owned();
        for (at, line) in lines.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\r\n" };
            let _ = write!(text, "{newline}{line}{REST_OF_ROW}");
        }
        if lines.is_empty() {
            text.push_str(REST_OF_ROW);
        }
        // One column from the edge at least, whatever the line was.
        text.push_str(REST_OF_SCREEN);
        match lines.len() {
            0 => {}
            1 => text.push('\r'),
            count => _ = write!(text, "\r\x1b[{}A", count - 1),
        }
        text
    }
}

impl TermLike for Foot {
    fn width(&self) -> u16 {
        u16::try_from(columns(self.stream)).unwrap_or(u16::MAX)
    }

    fn height(&self) -> u16 {
        let rows = size(self.stream).map(|(_, rows)| rows).filter(|rows| *rows > 0);
        // The log above them keeps a row.
        rows.unwrap_or(ROWS).saturating_sub(1).max(1)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)?;
        self.write_str("")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        lock(&self.frame).write(text);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let frame = lock(&self.frame).take(columns(self.stream));
        let write =
            |out: &mut dyn Write| out.write_all(frame.as_bytes()).and_then(|()| out.flush());
        match self.stream {
            Stream::Stdout => write(&mut io::stdout().lock()),
            Stream::Stderr => write(&mut io::stderr().lock()),
        }
    }

    // The cursor is always where the frame begins, and what was there is erased with every frame.

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    /// Whether bars can be drawn there. What a terminal of Windows does with them is not known.
    pub(super) fn takes_bars(self) -> bool {
        cfg!(unix)
            && self.is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_ends_where_it_begins() {
        let mut frame = Frame::default();
        assert_eq!(frame.take(80), "\r\x1b[K\x1b[J");
        // As indicatif writes lines: each is filled up with blanks.
        for text in ["one", "     ", "two", "", "three", " "] {
            frame.write(text);
        }
        assert_eq!(frame.take(80), "\rone\x1b[K\r\ntwo\x1b[K\r\nthree\x1b[K\x1b[J\r\x1b[2A");
        frame.write("one");
        frame.write("");
        assert_eq!(frame.take(80), "\rone\x1b[K\x1b[J\r");
        assert_eq!(frame.take(80), "\r\x1b[K\x1b[J");
        frame.write("for another width");
        assert_eq!(frame.take(8), "\rfor ano\x1b[K\x1b[J\r");
    }
}
