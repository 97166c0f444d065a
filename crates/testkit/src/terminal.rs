//! A terminal: a program runs in it, and its screen can be read as a person would read it.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Home;

/// What takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long it is waited for rows that are too long to become shorter.
const SHORTENING: Duration = Duration::from_secs(2);

/// A terminal with a program in it.
pub struct Terminal {
    ours: File,
    child: Child,
    screen: Arc<Mutex<Screen>>,
    reader: Option<JoinHandle<()>>,
}

struct Screen {
    parser: vt100::Parser,
    /// Everything that was ever written.
    written: Vec<u8>,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Terminal of {}:\n{}", self.child.id(), self.rows().join("\n"))
    }
}

impl Terminal {
    /// Starts a program in a home, in a terminal of so many columns and 24 rows.
    ///
    /// # Panics
    /// If there is no terminal to be had, or the program `setsid` is missing.
    #[must_use]
    pub fn start(home: &Home, columns: u16, program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("a terminal");
        set_size(&ours, columns);
        let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY)
            .expect("the other side of a terminal");
        let stream = || Stdio::from(theirs.try_clone().expect("a terminal once more"));
        // So that ^C reaches the program as it does in a shell.
        let mut command: Command = home.command("/usr/bin/setsid");
        command.arg("--ctty").arg(program.as_ref()).args(arguments);
        if !home.environment().iter().any(|(name, _)| name == "TERM") {
            command.env("TERM", "xterm-256color");
        }
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let child = command.spawn().expect("setsid, of util-linux");
        drop((command, theirs));
        let parser = vt100::Parser::new(rows(), number(columns), 1000);
        let screen = Arc::new(Mutex::new(Screen { parser, written: Vec::new() }));
        let ours = File::from(ours);
        let from = ours.try_clone().expect("a terminal once more");
        let reader = std::thread::spawn({
            let screen = screen.clone();
            move || replay(from, &screen)
        });
        Self { ours, child, screen, reader: Some(reader) }
    }

    /// Returns the program.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Gives the terminal another width. Where it becomes narrower, a program that does not know
    /// yet writes rows that are too long, and nothing here lays them out anew: so it may shorten
    /// them first.
    pub fn resize(&self, columns: u16) {
        let (_, before) = lock(&self.screen).parser.screen().size();
        if columns >= before.get() {
            lock(&self.screen).parser.screen_mut().set_size(rows(), number(columns));
            set_size(&self.ours, columns);
            return;
        }
        set_size(&self.ours, columns);
        let begun = Instant::now();
        let fits = |row: &String| row.chars().count() < usize::from(columns);
        while begun.elapsed() < SHORTENING && !self.rows().iter().all(fits) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut screen = lock(&self.screen);
        screen.parser.screen_mut().set_size(rows(), number(columns));
    }

    /// Types on the keyboard.
    ///
    /// # Panics
    /// If nobody reads.
    pub fn enter(&self, text: &str) {
        (&self.ours).write_all(text.as_bytes()).expect("a terminal that is read");
    }

    /// Returns the rows of the screen down to the last that is not empty, without blanks at their
    /// ends.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        lock(&self.screen)
            .parser
            .screen()
            .contents()
            .lines()
            .map(|row| row.trim_end().to_owned())
            .collect()
    }

    /// Returns everything that was ever written to the terminal.
    #[must_use]
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&lock(&self.screen).written).into_owned()
    }

    /// Waits until the screen is as wanted, and gives its rows.
    ///
    /// # Panics
    /// If that does not come.
    #[track_caller]
    pub fn wait(&self, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let rows = self.rows();
            if wanted(&rows) {
                return rows;
            }
            assert!(begun.elapsed() < PATIENCE, "the screen stays\n{}", rows.join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end of the program; its exit status and what the screen shows then.
    ///
    /// # Panics
    /// If it does not end.
    #[track_caller]
    pub fn finish(&mut self) -> (ExitStatus, Vec<String>) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end\n{}", self.rows().join("\n"));
            std::thread::sleep(Duration::from_millis(10));
        };
        // Nobody has the other side any more, so the reader comes to an end.
        if let Some(reader) = self.reader.take() {
            reader.join().expect("a reader");
        }
        (status, self.rows())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn replay(mut from: File, screen: &Mutex<Screen>) {
    let mut buffer = [0; 4096];
    // An error is how a terminal ends that nobody has open any more.
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut screen = lock(screen);
        screen.parser.process(&buffer[..read]);
        screen.written.extend_from_slice(&buffer[..read]);
    }
}

fn set_size(terminal: impl AsFd, columns: u16) {
    let size = Winsize { ws_row: rows().get(), ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).expect("a terminal of this size");
}

fn rows() -> NonZeroU16 {
    vt100::Parser::DEFAULT_ROWS
}

fn number(columns: u16) -> NonZeroU16 {
    NonZeroU16::new(columns).expect("a terminal has columns")
}

fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}
