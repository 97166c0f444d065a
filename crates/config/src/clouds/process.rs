//! A program that says who asks S3, as `credential_process` names it.

use std::fmt;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use serde::Deserialize;
use skopeo_image::Secret;

use crate::Error;

/// The program and its arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialProcess {
    words: Vec<String>,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The name of the key.
    pub id: String,
    /// The key.
    pub secret: Secret,
    /// What has to be sent with it.
    pub token: Option<Secret>,
    /// How long it counts, as the program wrote it (RFC 3339); for ever if it says nothing.
    pub expires: Option<SystemTime>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

impl CredentialProcess {
    /// The words of a command line: separated by blanks, but for those between quotes.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        for c in line.chars() {
            match (quote, c) {
                (Some(open), c) if c == open => quote = None,
                (Some(_), c) => word.get_or_insert_default().push(c),
                (None, '"' | '\'') => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (None, c) if c.is_whitespace() => words.extend(word.take()),
                (None, c) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        (quote.is_none() && !words.is_empty()).then_some(Self { words })
    }

    /// Runs it. Waits for a program: not for the network's thread.
    ///
    /// # Errors
    /// If it cannot be run, fails, or says something else. What it said is not told.
    pub fn run(&self) -> Result<Keys, Error> {
        let Some((program, arguments)) = self.words.split_first() else {
            return Err(Error::Invalid("a credential_process without a program".to_owned()));
        };
        let failed = |why: String| {
            Error::Invalid(format!("running the credential_process {program:?}: {why}"))
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| failed(error.to_string()))?;
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|_| failed("it does not say AccessKeyId and SecretAccessKey".to_owned()))?;
        let token = answer.session_token.as_deref().unwrap_or_default();
        for text in [&answer.access_key_id, &answer.secret_access_key, token] {
            super::check("its answer", text).map_err(|error| failed(error.to_string()))?;
        }
        if answer.version != 1 {
            return Err(failed(format!("its answer is of version {}", answer.version)));
        }
        let expires = match answer.expiration {
            None => None,
            Some(text) => {
                let time = text.parse::<jiff::Timestamp>();
                Some(time.map_err(|_| failed(format!("no time is {text:?}")))?.into())
            }
        };
        Ok(Keys {
            id: answer.access_key_id,
            secret: answer.secret_access_key.into(),
            token: answer.session_token.map(Secret::from),
            expires,
        })
    }
}

/// Without the arguments, which may be secrets.
impl fmt::Debug for CredentialProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CredentialProcess").field(&self.words.first()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_have_quotes() {
        let words = |line| CredentialProcess::parse(line).map(|it| it.words);
        let two = vec!["/bin/a b".to_owned(), "c".to_owned()];
        assert_eq!(words("\"/bin/a b\"  c"), Some(two.clone()));
        assert_eq!(words(" '/bin/a b' c "), Some(two));
        assert_eq!(words("a ''"), Some(vec!["a".to_owned(), String::new()]));
        assert_eq!(words("a 'b"), None);
        assert_eq!(words("  "), None);
    }

    #[test]
    fn a_program_says_who_asks() {
        let process = |json: &str| CredentialProcess {
            words: ["sh", "-c", &format!("echo '{json}'")].map(str::to_owned).to_vec(),
        };
        let said = r#"{"Version":1,"AccessKeyId":"i","SecretAccessKey":"s","SessionToken":"t",
            "Expiration":"2030-01-02T03:04:05Z"}"#;
        let keys = process(said).run().unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.reveal()), ("i", "s"));
        assert!(keys.expires.unwrap() > SystemTime::now() - std::time::Duration::from_secs(1));
        let wrong = process(r#"{"Version":1,"AccessKeyId":"i","Secret":"hush"}"#).run();
        assert!(!format!("{:?}", wrong.unwrap_err()).contains("hush"));
        assert!(CredentialProcess { words: vec!["/nope/nope".to_owned()] }.run().is_err());
    }
}
