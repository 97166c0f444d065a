//! Logs in logrus' text format on stderr: `time="..." level=... msg=...`, or its coloured form on a
//! terminal.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span;
use tracing::{Event, Metadata, Subscriber};

use crate::go;
use crate::lines::Lines;

/// How serious a line is, as logrus names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Fatal,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    fn colour(self) -> u8 {
        match self {
            Self::Debug => 37,
            Self::Info => 36,
            Self::Warning => 33,
            Self::Error | Self::Fatal => 31,
        }
    }
}

/// The most warnings that are kept: what comes again and again need not be kept for ever.
const KEPT: usize = 1000;

static STARTED: OnceLock<Instant> = OnceLock::new();

/// The warnings so far, if somebody wants them.
static WARNINGS: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// The bars at the foot of the terminal, above which lines are written.
static ABOVE: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// The thread that writes lines, where nobody may wait for them.
static APART: Mutex<Option<Lines>> = Mutex::new(None);

/// Whether only warnings and what is worse are told.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on lines are written above these bars, or straight to stderr again.
pub(crate) fn above(bars: Option<MultiProgress>) {
    *ABOVE.lock().unwrap_or_else(PoisonError::into_inner) = bars;
}

/// Removes the bars that are still there: what comes now is the last that is said.
pub(crate) fn close_bars() {
    if let Some(bars) = ABOVE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = bars.clear();
        bars.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// For as long as this is there, lines are written by a thread of their own: a stderr that nobody
/// reads holds nothing up.
#[derive(Debug)]
pub(crate) struct Apart;

/// From now on lines are written by a thread of their own.
///
/// # Errors
/// If there can be no more threads.
pub(crate) fn apart() -> io::Result<Apart> {
    *APART.lock().unwrap_or_else(PoisonError::into_inner) = Some(Lines::to(io::stderr())?);
    Ok(Apart)
}

impl Drop for Apart {
    fn drop(&mut self) {
        let lines = APART.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(lines);
    }
}

/// From now on only warnings and what is worse are told.
pub(crate) fn quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// From now on warnings are kept, too.
pub(crate) fn keep_warnings() {
    *WARNINGS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
}

/// The warnings that were kept.
pub(crate) fn kept_warnings() -> Vec<String> {
    WARNINGS.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

fn keep(message: &str) {
    let mut warnings = WARNINGS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = &mut *warnings
        && kept.len() < KEPT
    {
        kept.push(message.to_owned());
    }
}

/// Sends what the libraries log to stderr; called once, first of all.
pub(crate) fn start(debug: bool) {
    STARTED.get_or_init(Instant::now);
    let subscriber = Logrus { most: if debug { LevelFilter::DEBUG } else { LevelFilter::INFO } };
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("logging was set up twice");
    }
}

/// Writes one line to stderr. A closed stderr is nobody's business.
pub(crate) fn log(level: Level, message: &str) {
    log_fields(level, message, &[]);
}

fn log_fields(level: Level, message: &str, fields: &[(&'static str, String)]) {
    if level == Level::Warning {
        keep(message);
    }
    if level == Level::Info && QUIET.load(Ordering::Relaxed) {
        return;
    }
    let stderr = io::stderr();
    let line = if stderr.is_terminal() {
        let seconds = STARTED.get_or_init(Instant::now).elapsed().as_secs();
        on_terminal(level, message, fields, seconds, wants_colours())
    } else {
        plain(level, message, fields, &now())
    };
    write_line(&stderr, line);
}

/// Writes a line that is whole to stderr.
pub(crate) fn log_line(line: String) {
    write_line(&io::stderr(), line);
}

/// A line of many facts, as it would be written to stderr; `alone` where it is no terminal.
pub(crate) fn facts_line(message: &str, fields: &[(&'static str, String)], alone: bool) -> String {
    if !alone && io::stderr().is_terminal() {
        let seconds = STARTED.get_or_init(Instant::now).elapsed().as_secs();
        return on_terminal(Level::Info, message, fields, seconds, wants_colours());
    }
    plain(Level::Info, message, fields, &now())
}

fn write_line(stderr: &io::Stderr, line: String) {
    if let Some(lines) = &*APART.lock().unwrap_or_else(PoisonError::into_inner) {
        return lines.send(line);
    }
    let write = || {
        let mut stderr = stderr.lock();
        let _ = stderr.write_all(line.as_bytes());
        let _ = stderr.flush();
    };
    let above = ABOVE.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match above {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

/// Whether a terminal is to be coloured: <https://no-color.org>.
fn wants_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value: OsString| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Local time to the second, as RFC 3339 has it.
fn now() -> String {
    let now = jiff::Zoned::now();
    let offset =
        if now.offset().is_zero() { "Z".to_owned() } else { now.strftime("%:z").to_string() };
    format!("{}{offset}", now.strftime("%Y-%m-%dT%H:%M:%S"))
}

fn plain(level: Level, message: &str, fields: &[(&str, String)], time: &str) -> String {
    let mut line = format!("time={} level={}", value(time), level.name());
    if !message.is_empty() {
        let _ = write!(line, " msg={}", value(message));
    }
    for (name, text) in fields {
        let _ = write!(line, " {name}={}", value(text));
    }
    line.push('\n');
    line
}

fn on_terminal(
    level: Level,
    message: &str,
    fields: &[(&str, String)],
    seconds: u64,
    colours: bool,
) -> String {
    let colour = level.colour();
    let paint = |text: &str| match colours {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let name = paint(&level.name().to_uppercase()[..4]);
    let message = visible(message.strip_suffix('\n').unwrap_or(message));
    let mut line = format!("{name}[{seconds:04}] {message:<44} ");
    for (name, text) in fields {
        let _ = write!(line, " {}={}", paint(name), value(text));
    }
    line.push('\n');
    line
}

/// What a registry says must not command the terminal: letters that do are shown as Go writes them.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !commands(c) => shown.push(c),
            '\r' => shown.push_str("\\r"),
            c if c.is_ascii() => _ = write!(shown, "\\x{:02x}", u32::from(c)),
            c => _ = write!(shown, "\\u{:04x}", u32::from(c)),
        }
    }
    Cow::Owned(shown)
}

/// Bare where no letter needs quotes.
fn value(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || "-._/@^+".contains(c);
    if text.chars().all(bare) { text.to_owned() } else { go::quote(text) }
}

/// The subscriber: events of our own crates become lines; spans are not shown.
struct Logrus {
    most: LevelFilter,
}

impl Subscriber for Logrus {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.most && metadata.target().starts_with("skopeo")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warning,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        };
        log_fields(level, &fields.message, &fields.others);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.keep(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.keep(field, format!("{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.keep(field, text);
    }
}

impl Fields {
    fn keep(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-21T02:03:04Z";

    #[test]
    fn lines_are_those_of_logrus() {
        let fields = [("size", "12".to_owned()), ("path", "a b".to_owned())];
        for (message, fields, line) in [
            ("plain", &[][..], "level=fatal msg=plain"),
            ("two words", &[], "level=fatal msg=\"two words\""),
            ("a:b", &[], "level=fatal msg=\"a:b\""),
            ("a\n\"b\"", &[], "level=fatal msg=\"a\\n\\\"b\\\"\""),
            ("", &[], "level=fatal"),
            ("x", &fields, "level=fatal msg=x size=12 path=\"a b\""),
        ] {
            assert_eq!(
                plain(Level::Fatal, message, fields, TIME),
                format!("time=\"{TIME}\" {line}\n")
            );
        }
        assert_eq!(
            on_terminal(Level::Warning, "careful", &[], 7, true),
            format!("\x1b[33mWARN\x1b[0m[0007] {:<44} \n", "careful")
        );
        assert_eq!(
            on_terminal(Level::Error, "careful", &[("at", "x".to_owned())], 7, false),
            format!("ERRO[0007] {:<44}  at=x\n", "careful")
        );
    }

    #[test]
    fn no_message_commands_the_terminal() {
        for (message, shown) in [
            ("denied: \x1b[2J\x07gone\r", "denied: \\x1b[2J\\x07gone\\r"),
            ("\u{9b}31m", "\\u009b31m"),
            ("two\nlines\tand é", "two\nlines\tand é"),
        ] {
            let line = on_terminal(Level::Warning, message, &[], 7, true);
            assert_eq!(line, format!("\x1b[33mWARN\x1b[0m[0007] {shown:<44} \n"));
        }
    }

    #[test]
    fn time_is_rfc_3339_to_the_second() {
        let now = now();
        assert!(now.len() == 20 && now.ends_with('Z') || now.len() == 25, "{now}");
    }
}
