//! What a registry says when it does not do what was asked.

use std::fmt;

use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use skopeo_image::{ErrorClass, go_json};

use crate::challenge::challenges;
use crate::hints;
use crate::options::Credentials;

/// A refusal, in the words users of the original know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    codes: Vec<String>,
    text: String,
    missing: bool,
    /// It is a page for people.
    page: bool,
    hint: Option<Box<str>>,
    host: Option<Box<str>>,
}

impl Answer {
    /// Returns the HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the codes of the distribution specification, as `MANIFEST_UNKNOWN`; often just one.
    #[must_use]
    pub fn codes(&self) -> &[String] {
        &self.codes
    }

    /// Whether this says that there is no such manifest.
    ///
    /// Not every 404 does: a repository that is unknown has a code of its own. But some registries
    /// answer without a code, or with one of their own.
    pub(crate) fn is_not_found(&self) -> bool {
        self.missing
    }

    /// Whether it has no code that says what is wrong.
    pub(crate) fn is_bare(&self) -> bool {
        self.codes.is_empty()
    }

    /// Returns what the user may do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the registry that was asked, as it is named.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The same of a registry that was asked by somebody.
    pub(crate) fn to(self, host: &str, credentials: &Credentials) -> Self {
        let hint = match self.class() {
            ErrorClass::Unauthorized => Some(hints::unauthorized(host, credentials)),
            ErrorClass::Denied => Some(hints::denied(host, credentials)),
            // Proxies have pages for registries that do not answer them.
            _ if self.page && self.status < 500 => Some(hints::page(host)),
            _ => None,
        };
        Self { hint: hint.map(Into::into), host: Some(host.into()), ..self }
    }

    /// The same about a repository and what is asked of it.
    pub(crate) fn about(self, repository: &str) -> Self {
        let code = self.codes.first().map_or("", String::as_str);
        let hint = match code {
            _ if self.missing => {
                Some(format!("`skopeo list-tags docker://{repository}` lists the tags"))
            }
            "NAME_UNKNOWN" => {
                Some(format!("repository {repository} does not exist, or this user may not see it"))
            }
            _ => None,
        };
        Self { hint: hint.map(Into::into).or(self.hint), ..self }
    }

    /// Returns what kind of error it is. The code says more than the status, where there is one.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match (self.status, self.codes.first().map_or("", String::as_str)) {
            (429, _) | (_, "TOOMANYREQUESTS") => ErrorClass::RateLimited,
            (_, "UNAUTHORIZED") => ErrorClass::Unauthorized,
            (_, "DENIED") => ErrorClass::Denied,
            (_, "NAME_UNKNOWN" | "MANIFEST_UNKNOWN" | "BLOB_UNKNOWN") => ErrorClass::NotFound,
            (_, "DIGEST_INVALID" | "SIZE_INVALID") => ErrorClass::DigestMismatch,
            (_, "UNSUPPORTED") => ErrorClass::Unsupported,
            (401, _) => ErrorClass::Unauthorized,
            (403, _) => ErrorClass::Denied,
            (404 | 410, _) => ErrorClass::NotFound,
            (405 | 415 | 501, _) => ErrorClass::Unsupported,
            (408 | 504, _) => ErrorClass::Timeout,
            (409 | 412 | 423, _) => ErrorClass::Conflict,
            _ => ErrorClass::Registry,
        }
    }

    /// Whether another type of manifest might be taken instead.
    pub(crate) fn is_manifest_type_rejected(&self) -> bool {
        match self.codes.first().map(String::as_str) {
            Some("MANIFEST_INVALID" | "TAG_INVALID") => true,
            // Amazon's, about an OCI manifest without a media type inside.
            Some("UNSUPPORTED") => self.text.contains("Invalid JSON syntax"),
            _ => self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16(),
        }
    }

    /// The same about something that is no manifest: only the code can still mean one.
    pub(crate) fn about_something_else(mut self) -> Self {
        self.missing = self.codes.first().is_some_and(|code| code == "MANIFEST_UNKNOWN");
        self
    }

    /// An answer of something that is no registry: a token server, a web server.
    pub(crate) fn unexpected(status: StatusCode) -> Self {
        Self {
            status: status.as_u16(),
            codes: Vec::new(),
            text: format!("received unexpected HTTP status: {}", line(status)),
            missing: false,
            page: false,
            hint: None,
            host: None,
        }
    }

    /// A page where the JSON of a registry should be.
    pub(crate) fn page(status: StatusCode) -> Self {
        let text = "invalid character '<' looking for beginning of value".to_owned();
        Self { text, page: true, ..Self::unexpected(status) }
    }

    /// The answer "too many requests" of a token server.
    pub(crate) fn too_many() -> Self {
        let text = "too many requests to registry".to_owned();
        Self { text, ..Self::unexpected(StatusCode::TOO_MANY_REQUESTS) }
    }

    /// An answer of a registry, from its first megabyte or so.
    pub(crate) fn of_registry(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        if !status.is_client_error() {
            let mut answer = Self { page: is_page(body), ..Self::unexpected(status) };
            if let Some(detail) = parse(status, body).into_iter().find_map(|item| item.detail) {
                answer.text += &format!(" ({detail})");
            }
            return answer;
        }
        let mut items: Vec<Item> = Vec::new();
        if status == StatusCode::UNAUTHORIZED {
            items.extend(challenges(headers).iter().filter(|c| c.scheme == "bearer").find_map(
                |challenge| {
                    let code = match challenge.get("error") {
                        Some("invalid_token") => "UNAUTHORIZED",
                        Some("insufficient_scope") => "DENIED",
                        _ => return None,
                    };
                    let said = challenge.get("error_description").filter(|text| !text.is_empty());
                    Some(Item::new(code, said.unwrap_or_else(|| default_message(code)), true))
                },
            ));
        }
        let parsed = parse(status, body);
        let readable = !parsed.is_empty();
        items.extend(parsed);
        if items.is_empty() && status == StatusCode::UNAUTHORIZED {
            items.push(Item::new("UNAUTHORIZED", default_message("UNAUTHORIZED"), true));
        }
        let Some(first) = items.first() else {
            return Self {
                status: status.as_u16(),
                codes: Vec::new(),
                text: format!("StatusCode: {}, {}", status.as_u16(), sample(body)),
                missing: status == StatusCode::NOT_FOUND,
                page: is_page(body),
                hint: None,
                host: None,
            };
        };
        let missing = first.code == "MANIFEST_UNKNOWN"
            || (readable
                && first.code == "UNKNOWN"
                && first.message.to_lowercase().contains("not found"));
        Self {
            status: status.as_u16(),
            text: first.in_full(),
            missing,
            codes: items.into_iter().map(|item| item.code).collect(),
            page: is_page(body),
            hint: None,
            host: None,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Answer {}

/// Whether it is a page for people, as web servers have them, or what stores of objects say.
pub(crate) fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// `500 Internal Server Error`.
fn line(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
        .trim_end()
        .to_owned()
}

/// The first 50 bytes, in quotes.
fn sample(body: &[u8]) -> String {
    const LENGTH: usize = 50;
    let shown = String::from_utf8_lossy(body.get(..LENGTH).unwrap_or(body));
    let dots = if body.len() > LENGTH { "..." } else { "" };
    format!("{:?}", format!("{shown}{dots}"))
}

/// One error of the distribution specification.
struct Item {
    code: String,
    message: String,
    detailed: bool,
    /// What a person can read of the detail.
    detail: Option<String>,
}

impl Item {
    fn new(code: &str, message: &str, detailed: bool) -> Self {
        // As the original: a code that nobody registered is as good as none.
        let code = if default_message(code).is_empty() { "UNKNOWN" } else { code };
        Self { code: code.to_owned(), message: message.to_owned(), detailed, detail: None }
    }

    /// With the detail, where the code alone does not say what could be done: the registry is full,
    /// read-only, or takes no blob of that size.
    fn in_full(&self) -> String {
        let tells = ["DENIED", "UNSUPPORTED", "BLOB_UPLOAD_INVALID"].contains(&self.code.as_str());
        match self.detail.as_ref().filter(|_| tells) {
            Some(detail) => format!("{self} ({detail})"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.to_lowercase().replace('_', " ");
        let usual = default_message(&self.code);
        if !self.detailed && (self.message.is_empty() || self.message == usual) {
            f.write_str(&code)
        } else if self.message == usual {
            f.write_str(usual)
        } else {
            write!(f, "{code}: {}", self.message)
        }
    }
}

fn parse(status: StatusCode, body: &[u8]) -> Vec<Item> {
    #[derive(Deserialize)]
    struct Details {
        details: String,
    }
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(default)]
        code: Option<String>,
        #[serde(default)]
        message: Option<String>,
        #[serde(default)]
        detail: Option<serde_json::Value>,
    }
    if let Ok(Details { details }) = go_json::from_slice(body)
        && !details.is_empty()
    {
        let code = match status {
            StatusCode::UNAUTHORIZED => "UNAUTHORIZED",
            StatusCode::TOO_MANY_REQUESTS => "TOOMANYREQUESTS",
            _ => "UNKNOWN",
        };
        return vec![Item::new(code, &details, true)];
    }
    let Ok(Body { errors }) = go_json::from_slice(body) else { return Vec::new() };
    errors
        .into_iter()
        .map(|entry| {
            let item = Item::new(
                entry.code.as_deref().unwrap_or("UNKNOWN"),
                entry.message.as_deref().unwrap_or_default(),
                entry.detail.is_some(),
            );
            Item { detail: entry.detail.and_then(|detail| told(&detail, &item.message)), ..item }
        })
        .collect()
}

/// A detail that is a sentence and not the message once more, no longer than a line or two.
fn told(detail: &serde_json::Value, message: &str) -> Option<String> {
    const LONGEST: usize = 200;
    let text = detail.as_str()?.trim();
    let says_more = !text.is_empty() && !message.contains(text);
    says_more.then(|| text.chars().take(LONGEST).collect())
}

/// The message that the distribution specification gives a code; empty for codes it has not.
fn default_message(code: &str) -> &'static str {
    match code {
        "UNKNOWN" => "unknown error",
        "UNSUPPORTED" => "The operation is unsupported.",
        "UNAUTHORIZED" => "authentication required",
        "DENIED" => "requested access to the resource is denied",
        "UNAVAILABLE" => "service unavailable",
        "TOOMANYREQUESTS" => "too many requests",
        "DIGEST_INVALID" => "provided digest did not match uploaded content",
        "SIZE_INVALID" => "provided length did not match content length",
        "RANGE_INVALID" => "invalid content range",
        "NAME_INVALID" => "invalid repository name",
        "TAG_INVALID" => "manifest tag did not match URI",
        "NAME_UNKNOWN" => "repository name not known to registry",
        "MANIFEST_UNKNOWN" => "manifest unknown",
        "MANIFEST_INVALID" => "manifest invalid",
        "MANIFEST_UNVERIFIED" => "manifest failed signature verification",
        "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN" => "blob unknown to registry",
        "BLOB_UPLOAD_UNKNOWN" => "blob upload unknown to registry",
        "BLOB_UPLOAD_INVALID" => "blob upload invalid",
        "PAGINATION_NUMBER_INVALID" => "invalid number of results requested",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
