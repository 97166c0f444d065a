//! A line for each request.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use fs_err as fs;
use serde_json::json;
use skopeo_blob::FileError;
use skopeo_server::{AccessLog, AccessRecord};

use crate::args::serve::{Log, LogFormat};
use crate::lines::Lines;
use crate::logging;

/// What writes the lines; none if nobody wants them.
///
/// # Errors
/// If the file cannot be opened.
pub(super) fn open(log: &Log, format: LogFormat) -> Result<Option<Arc<dyn AccessLog>>> {
    let file = match log {
        Log::Nowhere => return Ok(None),
        Log::Stderr => None,
        Log::File(path) => Some(append_to(path)?),
    };
    Ok(Some(Arc::new(Requests { file, format })))
}

fn append_to(path: &Path) -> Result<Lines> {
    let path = skopeo_config::links::target(path)?;
    let file =
        fs::OpenOptions::new().create(true).append(true).open(path).map_err(FileError::from)?;
    Lines::to(file).context("starting a thread for the log")
}

#[derive(Debug)]
struct Requests {
    /// None for stderr.
    file: Option<Lines>,
    format: LogFormat,
}

impl AccessLog for Requests {
    fn record(&self, record: &AccessRecord) {
        let line = match self.format {
            LogFormat::Text => logging::facts_line("request", &fields(record), self.file.is_some()),
            LogFormat::Json => json_line(record),
        };
        match &self.file {
            Some(file) => file.send(line),
            None => logging::log_line(line),
        }
    }
}

fn fields(record: &AccessRecord) -> [(&'static str, String); 8] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        ("client", or_dash(record.client.map(|client| client.to_string()))),
        ("user", or_dash(record.user.clone())),
        ("method", record.method.clone()),
        ("path", record.target.clone()),
        ("status", record.status.to_string()),
        ("bytes", record.sent.to_string()),
        ("received", record.received.to_string()),
        ("ms", format!("{:.1}", record.took.as_secs_f64() * 1000.0)),
    ]
}

/// One object; what a client sent is escaped as JSON has it, DEL and what follows it too: terminals
/// take some of these as commands.
fn json_line(record: &AccessRecord) -> String {
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    let line = json!({
        "time": time,
        "client": record.client,
        "user": record.user,
        "method": record.method,
        "path": record.target,
        "status": record.status,
        "bytes": record.sent,
        "received": record.received,
        "ms": (record.took.as_secs_f64() * 10_000.0).round() / 10.0,
    });
    let mut text = String::new();
    for letter in line.to_string().chars() {
        match letter {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => text.push(letter),
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn record() -> AccessRecord {
        AccessRecord {
            client: Some("127.0.0.1:1234".parse().unwrap()),
            user: Some("ali\nce\u{9b}31m".into()),
            method: "GET".into(),
            target: "/v2/a\u{1b}[2J\"?n=1\u{7f}".into(),
            status: 200,
            received: 3,
            sent: 12,
            took: Duration::from_micros(1234),
        }
    }

    #[test]
    fn nothing_in_a_line_commands_the_terminal() {
        let text = logging::facts_line("request", &fields(&record()), true);
        let (_, text) = text.split_once(" level=info ").unwrap();
        assert_eq!(
            text,
            "msg=request client=\"127.0.0.1:1234\" user=\"ali\\nce\\u009b31m\" method=GET \
             path=\"/v2/a\\x1b[2J\\\"?n=1\\x7f\" status=200 bytes=12 received=3 ms=1.2\n"
        );
        let json = json_line(&record());
        assert!(!json.trim_end_matches('\n').contains(char::is_control), "{json}");
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["path"], record().target);
        assert_eq!(read["user"], "ali\nce\u{9b}31m");
        assert_eq!(read["ms"], 1.2);
        assert_eq!((read["status"].clone(), read["bytes"].clone()), (json!(200), json!(12)));
    }
}
