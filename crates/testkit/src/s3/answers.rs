//! What the store answers.

use std::collections::HashMap;
use std::time::SystemTime;

use bytes::Bytes;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::state::State;
use super::{BUCKET, Conditions, KEY_ID};

/// A status, headers and a body.
type Answer = (u16, Vec<(&'static str, String)>, Bytes);

/// The shortest part that is not the last, in bytes.
const SHORTEST: usize = 5 << 20;

/// How many objects are on one page of a listing.
const PAGE: usize = 100;

fn refused(status: u16, code: &str) -> Answer {
    let text = format!("<Error><Code>{code}</Code><Message>{code} of the test</Message></Error>");
    (status, Vec::new(), text.into())
}

/// The form of times in headers (RFC 9110, 5.6.7).
const HTTP: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// The form of times in listings.
const XML: &str = "%Y-%m-%dT%H:%M:%S.000Z";

fn time(time: SystemTime, format: &str) -> String {
    jiff::Timestamp::try_from(time).unwrap_or_default().strftime(format).to_string()
}

fn query_of(parts: &Parts) -> HashMap<String, String> {
    let decoded =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let query = parts.uri.query().unwrap_or_default();
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// The texts of all elements of a name, which have no others in them.
fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = text.split(open.as_str()).skip(1);
    parts.filter_map(|part| part.split_once(close.as_str()).map(|(inner, _)| inner)).collect()
}

impl State {
    pub(super) fn answer(&mut self, parts: &Parts, body: &Bytes) -> Answer {
        let header = |name: &str| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        if !self.google && !header("authorization").contains(&format!("Credential={KEY_ID}/")) {
            return refused(403, "AccessDenied");
        }
        let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
        let path = path.trim_start_matches('/');
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket != BUCKET {
            return refused(404, "NoSuchBucket");
        }
        let query = query_of(parts);
        let has = |name: &str| query.contains_key(name);
        let value = |name: &str| query.get(name).cloned().unwrap_or_default();
        match (parts.method.as_str(), key) {
            ("GET", "") if has("uploads") => self.list_uploads(&value("prefix")),
            ("GET", "") => self.list(&value("prefix"), &value("continuation-token")),
            ("POST", "") if has("delete") => {
                let text = String::from_utf8_lossy(body);
                let mut told = "<DeleteResult>".to_owned();
                for key in elements(&text, "Key") {
                    self.remove(key);
                    told.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
                }
                told.push_str("</DeleteResult>");
                (200, Vec::new(), told.into())
            }
            ("GET" | "HEAD", key) => {
                let Some(object) = self.objects.get(key) else { return refused(404, "NoSuchKey") };
                let mut headers = vec![
                    ("etag", object.tag.clone()),
                    ("x-goog-generation", object.generation.to_string()),
                    ("last-modified", time(object.written, HTTP)),
                ];
                let whole = object.bytes.len();
                if header("if-none-match") == object.tag {
                    return (304, headers, Bytes::new());
                }
                let range =
                    header("range").strip_prefix("bytes=").and_then(|it| it.split_once('-'));
                if let Some((from, to)) = range {
                    let from: usize = from.parse().unwrap_or(0);
                    let to = to.parse().map_or(whole, |to: usize| (to + 1).min(whole));
                    if from >= to {
                        return refused(416, "InvalidRange");
                    }
                    headers.push(("content-range", format!("bytes {from}-{}/{whole}", to - 1)));
                    return (206, headers, object.bytes.slice(from..to));
                }
                if parts.method == http::Method::HEAD {
                    headers.push(("content-length", whole.to_string()));
                }
                (200, headers, object.bytes.clone())
            }
            ("PUT", key) if has("partNumber") => {
                let id = value("uploadId");
                let Some(upload) = self.uploads.get_mut(&id).filter(|it| it.key == key) else {
                    return refused(404, "NoSuchUpload");
                };
                let number = value("partNumber").parse().unwrap_or(0);
                upload.parts.insert(number, body.clone());
                (200, vec![("etag", format!("\"part-{number}\""))], Bytes::new())
            }
            ("PUT", key) => self.put(key, header, body),
            ("POST", key) if has("uploads") => {
                let id = self.begin(key);
                let text = format!(
                    "<InitiateMultipartUploadResult><UploadId>{id}</UploadId>\
                     </InitiateMultipartUploadResult>"
                );
                (200, Vec::new(), text.into())
            }
            ("POST", key) if has("uploadId") => self.complete(key, &value("uploadId"), body),
            ("DELETE", key) if has("uploadId") => {
                match self.uploads.remove(&value("uploadId")).filter(|it| it.key == key) {
                    Some(_) => (204, Vec::new(), Bytes::new()),
                    None => refused(404, "NoSuchUpload"),
                }
            }
            ("DELETE", key) => {
                self.remove(key);
                (204, Vec::new(), Bytes::new())
            }
            _ => refused(405, "MethodNotAllowed"),
        }
    }

    fn put<'a>(&mut self, key: &str, header: impl Fn(&str) -> &'a str, body: &Bytes) -> Answer {
        let from = format!("{}{}", header("x-amz-copy-source"), header("x-goog-copy-source"));
        let from = percent_decode_str(&from).decode_utf8_lossy().into_owned();
        if !from.is_empty() {
            let from = from.trim_start_matches('/').strip_prefix(&format!("{BUCKET}/"));
            let Some(bytes) = from.and_then(|from| self.bytes(from)) else {
                return refused(404, "NoSuchKey");
            };
            let tag = self.write(key, bytes);
            let text = format!("<CopyObjectResult><ETag>{tag}</ETag></CopyObjectResult>");
            return (200, Vec::new(), text.into());
        }
        let (matched, absent) = (header("if-match"), header("if-none-match"));
        if !matched.is_empty() || !absent.is_empty() {
            let there = self.objects.get(key).map(|object| object.tag.as_str());
            match self.conditions {
                Conditions::Ignored => {}
                Conditions::Refused => return refused(501, "NotImplemented"),
                Conditions::Known if absent == "*" && there.is_some() => {
                    return refused(412, "PreconditionFailed");
                }
                Conditions::Known if !matched.is_empty() && there.is_none() => {
                    return refused(404, "NoSuchKey");
                }
                Conditions::Known if !matched.is_empty() && there != Some(matched) => {
                    return refused(412, "PreconditionFailed");
                }
                Conditions::Known => {}
            }
        }
        let wanted = header("x-goog-if-generation-match");
        let there = self.objects.get(key).map_or(0, |object| object.generation);
        if !wanted.is_empty() && wanted != there.to_string() {
            return refused(412, "PreconditionFailed");
        }
        let tag = self.write(key, body.clone());
        let generation = self.count.to_string();
        (200, vec![("etag", tag), ("x-goog-generation", generation)], Bytes::new())
    }

    fn complete(&mut self, key: &str, id: &str, body: &Bytes) -> Answer {
        let Some(upload) = self.uploads.get(id).filter(|it| it.key == key) else {
            return refused(404, "NoSuchUpload");
        };
        let text = String::from_utf8_lossy(body);
        let wanted: Vec<u32> =
            elements(&text, "PartNumber").iter().filter_map(|it| it.parse().ok()).collect();
        let parts: Option<Vec<&Bytes>> = wanted.iter().map(|it| upload.parts.get(it)).collect();
        let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
            return refused(400, "InvalidPart");
        };
        let Some((last, others)) = parts.split_last() else { return refused(400, "InvalidPart") };
        let same = |part: &&Bytes| others.first().is_some_and(|first| first.len() == part.len());
        let long = |part: &&Bytes| part.len() >= SHORTEST;
        if !others.iter().all(same) || !others.iter().all(long) {
            return refused(400, "EntityTooSmall");
        }
        if others.first().is_some_and(|first| last.len() > first.len()) {
            return refused(400, "EntityTooLarge");
        }
        let whole: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        self.uploads.remove(id);
        let tag = self.write(key, whole.into());
        let generation = ("x-goog-generation", self.count.to_string());
        let text = format!(
            "<CompleteMultipartUploadResult><ETag>{tag}</ETag></CompleteMultipartUploadResult>"
        );
        (200, vec![generation], text.into())
    }

    fn list(&self, prefix: &str, after: &str) -> Answer {
        let all = self.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut rest = all.filter(|(key, _)| key.as_str() > after).peekable();
        let mut text = "<ListBucketResult>".to_owned();
        let mut last = String::new();
        for (key, object) in rest.by_ref().take(PAGE) {
            text.push_str(&format!(
                "<Contents><Key>{key}</Key><LastModified>{}</LastModified><ETag>{}</ETag>\
                 <Size>{}</Size></Contents>",
                time(object.written, XML),
                object.tag.replace('"', "&quot;"),
                object.bytes.len()
            ));
            last.clone_from(key);
        }
        let more = rest.peek().is_some();
        text.push_str(&format!("<IsTruncated>{more}</IsTruncated>"));
        if more {
            text.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        }
        text.push_str("</ListBucketResult>");
        (200, Vec::new(), text.into())
    }

    fn list_uploads(&self, prefix: &str) -> Answer {
        let mut text = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>".to_owned();
        for (id, upload) in self.uploads.iter().filter(|(_, it)| it.key.starts_with(prefix)) {
            text.push_str(&format!(
                "<Upload><Key>{}</Key><UploadId>{id}</UploadId><Initiated>{}</Initiated></Upload>",
                upload.key,
                time(upload.begun, XML)
            ));
        }
        text.push_str("</ListMultipartUploadsResult>");
        (200, Vec::new(), text.into())
    }
}
