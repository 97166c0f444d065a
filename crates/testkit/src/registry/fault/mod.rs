//! Faults as data: what goes wrong, when, how often. `on` says which requests they are about,
//! `answer` spoils answers.

mod answer;
mod on;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use skopeo_image::MediaType;

use super::lie::Lie;

pub(super) use answer::{End, broken, cut, spoil};
pub use on::On;
use on::like;

/// One thing that goes wrong. Where a connection breaks, over HTTP/2 (TLS) it is the request's own
/// stream that is reset. It happens to every request that it is about, unless
/// [`Self::times`] or [`Self::skip`] say otherwise.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) on: On,
    pub(crate) what: What,
    skip: u32,
    times: Option<u32>,
    every: u32,
    /// How long from the first time on.
    lasts: Option<Duration>,
    until: Option<Instant>,
    /// How often it happens to one request and its repetitions at most.
    sparing: Option<u32>,
    struck: BTreeMap<String, u32>,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// The answer's body ends after so many bytes, and the connection with it.
    Cut(u64),
    /// The request's body is taken so far, then the connection ends without an answer.
    CutRequest(u64),
    /// The connection ends without an answer.
    HangUp,
    /// The answer's body stops after so many bytes; the connection stays open.
    Stall(u64),
    /// No answer, and the connection stays open.
    Silence,
    /// Another answer; the request's body is read first, so far as it may.
    Status { code: u16, retry_after: Option<String>, body: Option<(String, String)>, read: u64 },
    /// The range asked for is ignored: 200 and everything.
    IgnoreRange,
    /// The byte at this place is another one.
    Corrupt(u64),
    /// `Docker-Content-Digest` names other bytes.
    WrongDigest,
    /// A header is another one, or missing.
    Header(String, Option<String>),
    /// `Content-Length` promises so many bytes more, or fewer, than come.
    Length(i64),
    /// More bytes than the blob has, all of them honestly announced.
    TooMuch(u64),
    /// It is well formed, and another.
    Lie(Lie),
    /// A manifest of this type is not taken.
    RefuseType(MediaType),
    /// 307 to the object store, which is another host.
    Redirect,
    /// The registry does it, but the answer never comes.
    DoneButCut,
    /// Deleting a tag deletes what it leads to, with every tag of it; perhaps the answer never
    /// comes.
    TakesImage { cut: bool },
}

impl Fault {
    /// Cuts the answer's body off; after how many bytes, [`Self::after`] says (else at once).
    #[must_use]
    pub fn cut(on: On) -> Self {
        Self::of(on, What::Cut(0))
    }

    /// Breaks the connection while the request's body comes, [`Self::after`] so many bytes of it.
    #[must_use]
    pub fn cut_request(on: On) -> Self {
        Self::of(on, What::CutRequest(0))
    }

    /// Breaks the connection instead of an answer.
    #[must_use]
    pub fn hang_up(on: On) -> Self {
        Self::of(on, What::HangUp)
    }

    /// Does what is asked, but breaks the connection instead of the answer.
    #[must_use]
    pub fn done_but_cut(on: On) -> Self {
        Self::of(on, What::DoneButCut)
    }

    /// Deletes with a tag the manifest that it leads to, and so every tag of it.
    #[must_use]
    pub fn tag_takes_image() -> Self {
        Self::of(On::manifests().method("DELETE"), What::TakesImage { cut: false })
    }

    /// Does the same, and breaks the connection instead of the answer.
    #[must_use]
    pub fn tag_takes_image_but_cut() -> Self {
        Self::of(On::manifests().method("DELETE"), What::TakesImage { cut: true })
    }

    /// Stops the answer's body [`Self::after`] so many bytes; the connection stays.
    #[must_use]
    pub fn stall(on: On) -> Self {
        Self::of(on, What::Stall(0))
    }

    /// Gives no answer at all; the connection stays.
    #[must_use]
    pub fn silence(on: On) -> Self {
        Self::of(on, What::Silence)
    }

    /// Answers with this status, without reading the request's body, or, with [`Self::after`], so
    /// much of it. A 401 carries the registry's challenge, as of a token that has expired.
    #[must_use]
    pub fn status(on: On, code: u16) -> Self {
        Self::of(on, What::Status { code, retry_after: None, body: None, read: 0 })
    }

    /// Changes the byte [`Self::after`] so many.
    #[must_use]
    pub fn corrupt(on: On) -> Self {
        Self::of(on, What::Corrupt(0))
    }

    /// Ignores ranges: all of it comes, with 200.
    #[must_use]
    pub fn ignore_range(on: On) -> Self {
        Self::of(on, What::IgnoreRange)
    }

    /// Says in `Docker-Content-Digest` the digest of other bytes.
    #[must_use]
    pub fn wrong_digest(on: On) -> Self {
        Self::of(on, What::WrongDigest)
    }

    /// Gives a header of the answer another value.
    #[must_use]
    pub fn header(on: On, name: &str, value: &str) -> Self {
        Self::of(on, What::Header(name.to_owned(), Some(value.to_owned())))
    }

    /// Leaves out a header of the answer: `Location`, say.
    #[must_use]
    pub fn no_header(on: On, name: &str) -> Self {
        Self::of(on, What::Header(name.to_owned(), None))
    }

    /// Says in `Content-Length` so many bytes more than come, or fewer.
    #[must_use]
    pub fn content_length(on: On, more: i64) -> Self {
        Self::of(on, What::Length(more))
    }

    /// Sends so many bytes more than there are, and `Content-Length` says so.
    #[must_use]
    pub fn too_much(on: On, more: u64) -> Self {
        Self::of(on, What::TooMuch(more))
    }

    /// Refuses PUT of a manifest of this type as distribution refuses it.
    #[must_use]
    pub fn refuse_type(media_type: MediaType) -> Self {
        Self::of(On::manifests().method("PUT"), What::RefuseType(media_type))
    }

    /// Sends clients for blobs to an object store on another host, which refuses requests that carry
    /// credentials.
    #[must_use]
    pub fn redirect(on: On) -> Self {
        Self::of(on, What::Redirect)
    }

    /// Refuses uploads by PATCH.
    #[must_use]
    pub fn patch_refused() -> Self {
        Self::status(On::uploads().method("PATCH"), 405).code("UNSUPPORTED", "")
    }

    /// Refuses mounts with 405; [`Self::status`] gives other answers.
    #[must_use]
    pub fn mount_refused() -> Self {
        Self::status(On::uploads().method("POST").containing("mount="), 405).code("UNSUPPORTED", "")
    }

    /// Forbids HEAD, as firewalls of some registries do.
    #[must_use]
    pub fn head_forbidden() -> Self {
        Self::status(On::anything().method("HEAD"), 403)
    }

    /// After so many bytes.
    ///
    /// # Panics
    /// If bytes have nothing to do with this fault.
    #[must_use]
    pub fn after(mut self, bytes: u64) -> Self {
        match &mut self.what {
            What::Cut(at)
            | What::CutRequest(at)
            | What::Stall(at)
            | What::Corrupt(at)
            | What::Status { read: at, .. } => *at = bytes,
            What::Lie(Lie::Unannounced(at)) => *at = Some(bytes),
            other => panic!("{other:?} knows no bytes"),
        }
        self
    }

    /// With this `Retry-After`: seconds, or a date.
    ///
    /// # Panics
    /// If this fault is no status.
    #[must_use]
    pub fn retry_after(mut self, value: impl ToString) -> Self {
        let What::Status { retry_after, .. } = &mut self.what else {
            panic!("only a status has Retry-After")
        };
        *retry_after = Some(value.to_string());
        self
    }

    /// With this code and message in the OCI error document; by default one that fits the status.
    ///
    /// # Panics
    /// If this fault is no status.
    #[must_use]
    pub fn code(mut self, code: &str, message: &str) -> Self {
        let What::Status { body, .. } = &mut self.what else { panic!("only a status has a code") };
        *body = Some((code.to_owned(), message.to_owned()));
        self
    }

    /// Only so many times; then all is well.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Not the first so many times.
    #[must_use]
    pub fn skip(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Only each so many-th time; the first of those that are not skipped is one.
    #[must_use]
    pub fn every(self, every: u32) -> Self {
        Self { every: every.max(1), ..self }
    }

    /// To one request and its repetitions only so many times, so that who tries again more often
    /// comes through, whatever the order of all requests.
    #[must_use]
    pub fn sparing(self, times: u32) -> Self {
        Self { sparing: Some(times), ..self }
    }

    /// Only for so long, from the first time on.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { lasts: Some(time), ..self }
    }

    /// Says that the registry is asked too much: 429, with the seconds in which to come back. With
    /// [`Self::every`] and [`Self::lasting`] it is a storm.
    #[must_use]
    pub fn too_many(on: On, retry_after: u64) -> Self {
        Self::status(on, 429).retry_after(retry_after)
    }

    /// Once.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    pub(super) fn of(on: On, what: What) -> Self {
        Self {
            on,
            what,
            skip: 0,
            times: None,
            every: 1,
            lasts: None,
            until: None,
            sparing: None,
            struck: BTreeMap::new(),
        }
    }

    /// Whether it happens to this request, which is counted.
    pub(crate) fn strikes(&mut self, method: &Method, target: &str) -> bool {
        if !self.on.matches(method, target) || self.times == Some(0) {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        if let Some(lasts) = self.lasts {
            let now = Instant::now();
            if now >= *self.until.get_or_insert(now + lasts) {
                return false;
            }
        }
        if let Some(most) = self.sparing {
            let struck = self.struck.entry(like(method, target)).or_default();
            if *struck >= most {
                return false;
            }
            *struck += 1;
        }
        self.skip = self.every - 1;
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let mut fault = Fault::hang_up(On::anything()).skip(1).times(2);
        let struck: Vec<_> = (0..5).map(|_| fault.strikes(&Method::GET, "/")).collect();
        assert_eq!(struck, [false, true, true, false, false]);
        let mut fault = Fault::hang_up(On::anything()).skip(1).every(3).times(2);
        let struck: Vec<_> = (0..9).map(|_| fault.strikes(&Method::GET, "/")).collect();
        let expected = [false, true, false, false, true, false, false, false, false];
        assert_eq!(struck, expected);
        let mut fault = Fault::hang_up(On::anything()).sparing(2);
        let struck = (0..6).map(|n| fault.strikes(&Method::GET, ["/", "/a"][n % 2]));
        assert_eq!(struck.collect::<Vec<_>>(), [true, true, true, true, false, false]);
        let mut fault = Fault::too_many(On::anything(), 1).lasting(Duration::ZERO);
        assert!(!fault.strikes(&Method::GET, "/"));
        let mut fault = Fault::too_many(On::anything(), 1).lasting(Duration::from_secs(3600));
        assert!(fault.strikes(&Method::GET, "/") && fault.strikes(&Method::GET, "/"));
    }
}
