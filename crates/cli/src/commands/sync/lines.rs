//! The lines that scripts know, image by image: many are copied at once, and theirs must not mix.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use skopeo_copy::Event;

use crate::args::report::Output;

/// What is to be said of one image once it is through.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<String>);

impl Lines {
    /// Notes an event.
    pub(super) fn observe(&self, event: &Event) {
        if let Some(line) = event.line() {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push_str(&line);
            lines.push('\n');
        }
    }

    /// Prints them where the original does, unless a document goes there. Who closed it does not
    /// want to know; the copies go on.
    pub(super) fn print(&self, output: Output) {
        let lines = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = match output {
            Output::Text => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(lines.as_bytes()).and_then(|()| stdout.flush())
            }
            Output::Json => io::stderr().write_all(lines.as_bytes()),
        };
    }
}
