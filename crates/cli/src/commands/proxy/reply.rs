//! What a client is told.

use std::os::fd::OwnedFd;

use anyhow::Error;
use serde::Serialize;
use serde_json::Value;
use skopeo_image::go_json;

use super::request::MAX_PACKET;
use crate::exit::{is_transient, sentence};

/// The most of an error's sentence that is told, in bytes: even if each has to be escaped, the
/// reply is smaller than a packet.
const MAX_SENTENCE: usize = 4 * 1024;

/// A reply, ready to be sent.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) text: Vec<u8>,
    /// The client's ends of pipes.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// What a request came to, if it came to anything.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) value: Value,
    /// The pipe that has to be finished; zero for none.
    pub(super) pipe: u32,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// The client has closed its end of a pipe.
#[derive(Debug, thiserror::Error)]
#[error("writing to the client: broken pipe")]
pub(super) struct ReaderGone;

/// A reply as it is written.
#[derive(Serialize)]
struct Written<'a> {
    success: bool,
    value: &'a Value,
    pipeid: u32,
    error_code: &'static str,
    error: &'a str,
}

/// What is written into the second pipe of `GetRawBlob`.
#[derive(Serialize)]
struct Failure<'a> {
    code: &'static str,
    message: &'a str,
}

impl Outcome {
    /// Nothing but a value.
    pub(super) fn value(value: impl Into<Value>) -> Self {
        Self { value: value.into(), ..Self::default() }
    }
}

impl Reply {
    /// What there is to say about a request.
    pub(super) fn new(outcome: Result<Outcome, Error>) -> Self {
        let told = outcome.and_then(|Outcome { value, pipe, descriptors }| {
            let text = written(&Written {
                success: true,
                value: &value,
                pipeid: pipe,
                error_code: "",
                error: "",
            });
            if text.len() > MAX_PACKET {
                anyhow::bail!("the reply has more than {MAX_PACKET} bytes");
            }
            Ok(Self { text, descriptors })
        });
        told.unwrap_or_else(|error| {
            let text = written(&Written {
                success: false,
                value: &Value::Null,
                pipeid: 0,
                error_code: code(&error),
                error: &told_of(&error),
            });
            Self { text, descriptors: Vec::new() }
        })
    }
}

/// An error as it is written into a pipe.
pub(super) fn failure(error: &Error) -> Vec<u8> {
    written(&Failure { code: code(error), message: &told_of(error) })
}

fn written(value: &impl Serialize) -> Vec<u8> {
    // Text, numbers and values that were read from JSON: nothing that cannot be written.
    go_json::to_vec(value).unwrap_or_default()
}

/// What a client may do about an error: nothing if it did it itself, try again, or give up.
fn code(error: &Error) -> &'static str {
    if error.chain().any(|link| link.is::<ReaderGone>()) {
        "EPIPE"
    } else if is_transient(error) {
        "retryable"
    } else {
        "other"
    }
}

fn told_of(error: &Error) -> String {
    let mut text = sentence(error);
    if text.len() > MAX_SENTENCE {
        text.truncate(text.floor_char_boundary(MAX_SENTENCE));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use serde_json::json;
    use skopeo_image::Digest;

    use super::*;

    fn told(outcome: Result<Outcome, Error>) -> String {
        String::from_utf8(Reply::new(outcome).text).unwrap()
    }

    #[test]
    fn all_fields_are_there_always() {
        for (outcome, text) in [
            (
                Ok(Outcome::value("0.2.8")),
                r#"{"success":true,"value":"0.2.8","pipeid":0,"error_code":"","error":""}"#,
            ),
            (
                Ok(Outcome { pipe: 7, ..Outcome::default() }),
                r#"{"success":true,"value":null,"pipeid":7,"error_code":"","error":""}"#,
            ),
            (
                Err(anyhow!("b").context("a")),
                r#"{"success":false,"value":null,"pipeid":0,"error_code":"other","error":"a: b"}"#,
            ),
        ] {
            assert_eq!(told(outcome), text);
        }
    }

    #[test]
    fn errors_say_what_helps() {
        let vanished = skopeo_transport::CommitError::Vanished(Digest::sha256(b""));
        for (error, code) in [
            (Error::from(ReaderGone).context("x"), "EPIPE"),
            (Error::from(skopeo_transport::Error::from(vanished)).context("x"), "retryable"),
            (anyhow!("no"), "other"),
        ] {
            let failure: Value = serde_json::from_slice(&failure(&error)).unwrap();
            assert_eq!(failure["code"], code);
            assert_eq!(failure["message"], sentence(&error));
        }
    }

    #[test]
    fn no_reply_is_larger_than_a_packet() {
        for text in ["\u{1}".repeat(1 << 20), "é".repeat(1 << 20), "x".repeat(1 << 20)] {
            let reply = told(Err(anyhow!("{text}")));
            assert!(reply.len() <= MAX_PACKET && reply.contains("other"), "{}", reply.len());
            let reply = told(Ok(Outcome::value(text)));
            assert!(reply.contains("\"the reply has more than 32768 bytes\""), "{reply}");
        }
        let fits = vec![json!(1); 1000];
        assert!(told(Ok(Outcome::value(fits))).contains("\"success\":true"));
    }
}
