//! Lines that are written by a thread of their own, so that nobody waits for who reads them.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How many lines wait; more are left out.
const WAITING: usize = 4096;

/// How long the last lines may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where lines go. What was sent is written when this ends, if that is soon.
#[derive(Debug)]
pub(crate) struct Lines {
    sender: Option<SyncSender<String>>,
    left_out: Arc<AtomicU64>,
    ended: Mutex<Receiver<()>>,
}

impl Lines {
    /// Begins a thread that writes.
    ///
    /// # Errors
    /// If there can be no more threads.
    pub(crate) fn to(writer: impl Write + Send + 'static) -> std::io::Result<Self> {
        let (sender, lines) = sync_channel(WAITING);
        let (end, ended) = channel();
        let left_out = Arc::new(AtomicU64::new(0));
        let counter = left_out.clone();
        std::thread::Builder::new()
            .name("lines".to_owned())
            .spawn(move || write(writer, &lines, &counter, &end))?;
        Ok(Self { sender: Some(sender), left_out, ended: Mutex::new(ended) })
    }

    /// Writes a line, which has its line break, some time soon; or leaves it out if who reads is
    /// too slow.
    pub(crate) fn send(&self, line: String) {
        let sent = self.sender.as_ref().is_some_and(|sender| sender.try_send(line).is_ok());
        if !sent {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.sender = None;
        // If nobody reads, the end of the program does not wait for that.
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(LAST_WORDS);
    }
}

fn write(mut writer: impl Write, lines: &Receiver<String>, left_out: &AtomicU64, end: &Sender<()>) {
    while let Ok(line) = lines.recv() {
        let _ = writer.write_all(line.as_bytes());
        // What comes together is flushed together.
        while let Ok(line) = lines.try_recv() {
            let _ = writer.write_all(line.as_bytes());
        }
        let missing = left_out.swap(0, Ordering::Relaxed);
        if missing > 0 {
            let _ = writeln!(writer, "{missing} lines were left out: they came too fast");
        }
        let _ = writer.flush();
    }
    let _ = end.send(());
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;

    use super::*;

    /// A writer that waits until it is let go, and keeps what it was given.
    #[derive(Clone, Default)]
    struct Slow(Arc<(Mutex<State>, Condvar)>);

    /// Whether somebody reads, and what was read.
    type State = (bool, Vec<u8>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let (state, changed) = &*self.0;
            let mut state = changed.wait_while(state.lock().unwrap(), |state| !state.0).unwrap();
            state.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_does_not_read_holds_nobody() {
        let slow = Slow::default();
        let lines = Lines::to(slow.clone()).unwrap();
        for number in 0..WAITING + 100 {
            lines.send(format!("{number}\n"));
        }
        slow.0.0.lock().unwrap().0 = true;
        slow.0.1.notify_all();
        drop(lines);
        let written = String::from_utf8(slow.0.0.lock().unwrap().1.clone()).unwrap();
        assert!(written.starts_with("0\n1\n2\n"), "{written}");
        assert!(written.contains("lines were left out"), "{written}");
    }

    #[test]
    fn the_end_does_not_wait_for_who_does_not_read() {
        let slow = Slow::default();
        let lines = Lines::to(slow.clone()).unwrap();
        lines.send("never\n".to_owned());
        drop(lines);
        assert!(slow.0.0.lock().unwrap().1.is_empty(), "it was not read, and was not waited for");
    }
}
