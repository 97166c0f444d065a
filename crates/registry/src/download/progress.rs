//! One answer after the other, until all of a blob, or of a range of it, has come.

use std::fmt;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::header::RANGE;
use http::{Method, StatusCode};
use reqwest::Response;
use skopeo_image::Hasher;
use skopeo_image::number::{narrow, wide};
use tracing::{debug, info};

use super::content_range::{content_range, length};
use crate::call::Call;
use crate::client::Client;
use crate::encoding::{self, Coding, Gunzip, MAGIC};
use crate::error::Error;
use crate::pace::Permit;
use crate::redact::redacted;
use crate::retry::{Spent, Tries};
use crate::send::wait;
use crate::wire::WireError;

/// A blob on its way. Nothing is verified: not its digest, not its size.
pub struct Download {
    /// The bytes, from the first to the last, whatever happens on the line.
    pub stream: BoxStream<'static, Result<Bytes, Error>>,
    /// How many there will be, where the registry says so.
    pub size: Option<u64>,
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("size", &self.size).finish_non_exhaustive()
    }
}

/// How far a download is.
pub(super) struct Progress {
    client: Client,
    /// Where it comes from the registry itself.
    counted: Option<Permit>,
    call: Call<'static>,
    response: Option<Response>,
    total: Option<u64>,
    /// How many bytes have been handed on, or lie before the range that is asked for.
    pub(super) at: u64,
    /// The range, where only that is asked for.
    pub(super) range: Option<Range>,
    /// How many bytes of the present answer have been handed on already.
    skip: u64,
    /// The tries that have failed since...
    tries: Spent,
    /// ...this position.
    pub(super) tries_since: u64,
    /// Whether it is worth asking for a part.
    ranges: bool,
    /// How long the blob is, as the manifest says.
    declared: Option<u64>,
    /// Whether what is said to be gzip has to be unpacked, once that is known.
    packed: Option<bool>,
    /// What unpacks the present answer, if it has to be.
    gunzip: Option<Gunzip>,
}

/// A range of a blob. What answers it must be that range, of a blob of the right length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    /// The first byte behind it.
    pub(super) end: u64,
    /// Whether the registry has answered with something else.
    pub(super) is_refused: bool,
}

impl Progress {
    pub(super) fn new(client: Client, call: Call<'static>, total: Option<u64>) -> Box<Self> {
        Box::new(Self {
            client,
            counted: None,
            call,
            response: None,
            total,
            at: 0,
            range: None,
            skip: 0,
            tries: Spent::default(),
            tries_since: 0,
            ranges: true,
            declared: total,
            packed: None,
            gunzip: None,
        })
    }

    /// The bytes from `start` to `end` only, of a blob of `size` bytes.
    pub(super) fn of_range(
        client: Client,
        call: Call<'static>,
        size: u64,
        (start, end): (u64, u64),
    ) -> Box<Self> {
        let mut progress = Self::new(client, call, Some(size));
        (progress.at, progress.tries_since) = (start, start);
        progress.range = Some(Range { start, end, is_refused: false });
        progress
    }

    /// Where the last byte that is asked for ends, if that is known.
    fn end(&self) -> Option<u64> {
        self.range.map(|range| range.end).or(self.total)
    }

    /// Takes in an answer that is the blob from its start, or a part that continues it.
    pub(super) async fn open(&mut self, response: Response) -> Result<(), Error> {
        let mut response = response;
        let mut packed = false;
        if response.status() == StatusCode::OK {
            match Coding::of(response.headers()) {
                Coding::Plain => {}
                Coding::Gzip => (response, packed) = self.look_into(response).await?,
                Coding::Other(name) => {
                    let sizes = length(response.headers()).zip(self.declared);
                    if sizes.is_some_and(|(sent, declared)| sent != declared) {
                        return Err(encoding::unknown(&name));
                    }
                }
            }
        }
        self.gunzip = packed.then(Gunzip::default);
        if packed {
            // A part of what is packed is of no use.
            self.ranges = false;
            self.total = self.declared;
        }
        let shared = &self.client.0;
        self.counted = shared.is_paced(response.url()).then(|| shared.pace.stream());
        self.response = Some(response);
        Ok(())
    }

    /// Whether a blob that is said to be packed with gzip has to be unpacked: some servers mean
    /// what the blob itself is. The length tells, and where there is none the digest, which takes
    /// one more request.
    async fn look_into(&mut self, response: Response) -> Result<(Response, bool), Error> {
        if let Some(packed) = self.packed {
            return Ok((response, packed));
        }
        let known = match (length(response.headers()), self.declared, &self.call.digest) {
            (Some(sent), Some(declared), _) => Some(sent != declared),
            (_, _, None) => Some(true),
            _ => None,
        };
        if let Some(packed) = known {
            self.packed = Some(packed);
            return Ok((response, packed));
        }
        let mut response = response;
        loop {
            match self.probe(response).await {
                Ok(packed) => self.packed = Some(packed),
                Err(error) => self.pause(error).await?,
            }
            let shared = &self.client.0;
            response = shared.send(&self.call).await?;
            if response.status() != StatusCode::OK {
                return Err(shared.refusal(response).await);
            }
            if let Some(packed) = self.packed {
                let still = Coding::of(response.headers()) == Coding::Gzip;
                return Ok((response, packed && still));
            }
        }
    }

    /// Reads an answer to its end, or until it is clear that what is in it is compressed once more.
    async fn probe(&self, mut response: Response) -> Result<bool, Error> {
        let Some(digest) = &self.call.digest else { return Ok(true) };
        let mut hasher = Hasher::new(digest.algorithm());
        let mut gunzip = Gunzip::default();
        let mut start = Vec::new();
        while let Some(piece) = self.chunk(&mut response).await? {
            hasher.update(&piece);
            if start.len() >= MAGIC {
                continue;
            }
            gunzip.feed(&piece);
            let Ok(unpacked) = gunzip.next() else { return Ok(false) };
            start.extend_from_slice(&unpacked.unwrap_or_default());
            if encoding::is_compressed(&start) {
                return Ok(true);
            }
        }
        Ok(hasher.finish() != *digest)
    }

    /// What has been opened, as a download of the whole blob, or of all behind what is skipped: as
    /// long as the registry says.
    pub(super) fn whole(mut self: Box<Self>) -> Download {
        if self.gunzip.is_some() {
            return Download { stream: self.stream(), size: None };
        }
        let size = self.response.as_ref().and_then(|response| length(response.headers()));
        self.total = size.or(self.declared);
        let size = size.map(|size| size.saturating_sub(self.skip));
        Download { stream: self.stream(), size }
    }

    pub(super) fn stream(self: Box<Self>) -> BoxStream<'static, Result<Bytes, Error>> {
        let stream = stream::try_unfold(self, |mut state| async move {
            let piece = state.next().await?;
            Ok(piece.map(|piece| (piece, state)))
        });
        stream.boxed()
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(mut response) = self.response.take() else {
                self.resume().await?;
                continue;
            };
            match self.read(&mut response).await {
                Ok(Some(mut piece)) => {
                    self.response = Some(response);
                    let mut new = piece.split_off(narrow(self.skip).min(piece.len()));
                    self.skip = self.skip.saturating_sub(wide(piece.len()));
                    if let Some(range) = self.range {
                        let left = narrow(range.end.saturating_sub(self.at));
                        if left == 0 {
                            return Ok(None);
                        }
                        new.truncate(left);
                    }
                    if !new.is_empty() {
                        self.at = self.at.saturating_add(wide(new.len()));
                        return Ok(Some(new));
                    }
                }
                Ok(None) => return Ok(None),
                // Nothing is missing, whatever else broke; and there is no range to ask for.
                Err(_) if self.end().is_some_and(|end| self.at >= end) => return Ok(None),
                Err(error) => self.pause(error).await?,
            }
        }
    }

    /// The next piece of the present answer; an early end is an error.
    async fn read(&mut self, response: &mut Response) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(gunzip) = &mut self.gunzip
                && let Some(piece) = gunzip.next().map_err(|error| encoding::broken(&error))?
            {
                return Ok(Some(piece));
            }
            let piece = self.chunk(response).await?;
            match (piece, &mut self.gunzip) {
                (Some(piece), None) => return Ok(Some(piece)),
                (Some(piece), Some(gunzip)) => gunzip.feed(&piece),
                (None, gunzip) => {
                    let whole = gunzip.as_mut().is_none_or(|gunzip| gunzip.end().is_ok());
                    if let Some(gunzip) = gunzip
                        && let Some(last) = gunzip.next().map_err(|it| encoding::broken(&it))?
                    {
                        return Ok(Some(last));
                    }
                    if whole && self.end().is_none_or(|end| self.at >= end) {
                        return Ok(None);
                    }
                    return Err(Error::request(&Method::GET, response.url(), WireError::cut()));
                }
            }
        }
    }

    /// What comes next of an answer, as it comes.
    async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Error> {
        let shared = &self.client.0;
        let idle = shared.options.timeouts.idle;
        let problem = match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(piece)) => return Ok(piece),
            Ok(Err(error)) => shared.broken(&error, response.url()),
            Err(_) => WireError::silent(idle),
        };
        Err(Error::request(&Method::GET, response.url(), problem))
    }

    /// Waits before the next try, if there is one.
    async fn pause(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_transient() {
            return Err(error);
        }
        let policy = &self.client.0.options.retry;
        if self.at.saturating_sub(self.tries_since) >= policy.progress {
            self.tries = Spent::default();
        }
        let mut tries = Tries::after(policy, self.tries);
        let pause = tries.broken(&error);
        self.tries = tries.spent();
        self.tries_since = self.at;
        let Some(pause) = pause else { return Err(error.after(self.tries.done)) };
        debug!("Reading a blob broke after {} bytes: {error}", self.at);
        wait(pause, &error.chain()).await;
        Ok(())
    }

    /// Asks for the rest: by a closed range, or for all of it where ranges are not understood. Of a
    /// range only that range will do, but for an answer with all of the blob before anything of the
    /// range has come: then it is no range any more.
    pub(super) async fn resume(&mut self) -> Result<(), Error> {
        let shared = std::sync::Arc::clone(&self.client.0);
        loop {
            let mut call = self.call.clone();
            let ranged = self.range.is_some() || self.ranges && self.at > 0;
            if ranged {
                let last = self.end().and_then(|end| end.checked_sub(1));
                let last = last.map(|last| last.to_string()).unwrap_or_default();
                call = call.header(RANGE, &format!("bytes={}-{last}", self.at));
            }
            let response = shared.send(&call).await?;
            match response.status() {
                StatusCode::PARTIAL_CONTENT if ranged => {
                    let found = content_range(response.headers());
                    let fits = match self.range {
                        Some(range) => {
                            found.is_some_and(|it| it.is(self.at, range.end, self.total))
                        }
                        None => found.is_some_and(|it| it.continues(self.at, self.total)),
                    };
                    if fits {
                        if self.range.is_none_or(|range| range.start < self.at) {
                            info!("Reconnected to {} at {}", redacted(response.url()), self.at);
                        }
                        self.skip = 0;
                        return self.open(response).await;
                    }
                    debug!("Range from {} answered by {found:?}", self.at);
                    self.without_ranges()?;
                }
                StatusCode::RANGE_NOT_SATISFIABLE if ranged => self.without_ranges()?,
                StatusCode::OK => {
                    match self.range {
                        Some(range) if range.start < self.at => self.without_ranges()?,
                        Some(_) => self.range = None,
                        None => info!("Reconnected to {} from the start", redacted(response.url())),
                    }
                    self.skip = self.at;
                    return self.open(response).await;
                }
                _ => return Err(shared.refusal(response).await.doing("fetching blob")),
            }
        }
    }

    /// Asks for no more ranges; an error where nothing but a range is of use.
    fn without_ranges(&mut self) -> Result<(), Error> {
        self.ranges = false;
        let Some(range) = &mut self.range else { return Ok(()) };
        range.is_refused = true;
        Err(Error::Protocol("the registry does not send a range of a blob".to_owned()))
    }
}
