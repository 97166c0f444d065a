//! Blobs: read as one stream, resumed where the line breaks.

use std::fmt;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Response;
use skopeo_image::number::{narrow, wide};
use skopeo_image::{Digest, Hasher};
use tracing::{debug, info};
use url::Url;

use crate::call::{Call, Target};
use crate::client::Client;
use crate::encoding::{self, Coding, Gunzip, MAGIC};
use crate::error::Error;
use crate::pace::Permit;
use crate::redact::redacted;
use crate::repository::Repository;
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

impl Repository {
    /// Reads a blob. `size` is what the manifest says, which is asked for when resuming.
    ///
    /// # Errors
    /// Whatever keeps it from starting; the stream has errors of its own.
    pub async fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<Download, Error> {
        let call = self.call(Method::GET, format_args!("blobs/{digest}")).scopes(self.to_read());
        let call = Call { digest: Some(digest.clone()), ..call };
        download(self.client.clone(), call, size)
            .await
            .map_err(|error| error.doing("fetching blob"))
    }

    /// Reads the rest of a blob of `size` bytes, from `offset` on: by a range, or where those are
    /// not understood from all of it.
    ///
    /// # Errors
    /// As [`Repository::blob`].
    pub async fn blob_from(
        &self,
        digest: &Digest,
        size: u64,
        offset: u64,
    ) -> Result<Download, Error> {
        let call = self.call(Method::GET, format_args!("blobs/{digest}")).scopes(self.to_read());
        let call = Call { digest: Some(digest.clone()), ..call };
        let mut progress = Progress::new(self.client.clone(), call, Some(size));
        (progress.at, progress.tries_since) = (offset, offset);
        progress.resume().await.map_err(|error| error.doing("fetching blob"))?;
        Ok(Download { stream: progress.stream(), size: Some(size.saturating_sub(offset)) })
    }

    /// Reads what lies somewhere else: a layer, of which digest and size may be known, or another
    /// file. No credentials are sent there.
    ///
    /// # Errors
    /// As [`Repository::blob`]; URLs that are neither http nor https.
    pub async fn foreign_blob(
        &self,
        url: &str,
        digest: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        let parsed = Url::parse(url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Error::Protocol(format!("unsupported external blob URL {url:?}")))?;
        let doing = format!("fetching external blob from {:?}", redacted(&parsed));
        let mut call = Call::new(Method::GET, "");
        call.target = Target::Url(std::borrow::Cow::Owned(parsed));
        call.digest = digest.cloned();
        download(self.client.clone(), call, size).await.map_err(|error| error.doing(doing))
    }

    /// The size of a blob, or `None` if it is not there, or comes packed and without a size.
    ///
    /// # Errors
    /// Any answer but "here" and "not here"; a size that is missing.
    pub async fn head_blob(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let doing = || format!("checking whether a blob {digest} exists in {}", self.name());
        let call = self.call(Method::HEAD, format_args!("blobs/{digest}")).scopes(self.to_read());
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        match response.status() {
            StatusCode::OK => match length(response.headers()) {
                Some(size) => Ok(Some(size)),
                // How long it is once it is unpacked shows only then.
                None if Coding::of(response.headers()) != Coding::Plain => Ok(None),
                None => {
                    Err(Error::Protocol("Missing \"Content-Length\" header in response".to_owned())
                        .doing(format!("determining size of blob {digest} in {}", self.name())))
                }
            },
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.shared().refusal(response).await.doing(doing())),
        }
    }

    /// Deletes a blob.
    ///
    /// # Errors
    /// Most registries refuse this; it is meant for those that do not collect garbage.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<(), Error> {
        let call =
            self.call(Method::DELETE, format_args!("blobs/{digest}")).scopes(self.to_delete());
        let doing = || format!("deleting blob {digest} in {}", self.name());
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        if response.status().is_success() {
            return Ok(());
        }
        Err(self.shared().refusal(response).await.doing(doing()))
    }
}

async fn download(
    client: Client,
    call: Call<'static>,
    declared: Option<u64>,
) -> Result<Download, Error> {
    let response = client.0.send(&call).await?;
    if response.status() != StatusCode::OK {
        return Err(client.0.refusal(response).await);
    }
    let size = length(response.headers());
    let mut progress = Progress::new(client, call, declared);
    progress.open(response).await?;
    if progress.gunzip.is_some() {
        return Ok(Download { stream: progress.stream(), size: None });
    }
    progress.total = size.or(declared);
    Ok(Download { stream: progress.stream(), size })
}

/// How far a download is.
struct Progress {
    client: Client,
    /// Where it comes from the registry itself.
    counted: Option<Permit>,
    call: Call<'static>,
    response: Option<Response>,
    total: Option<u64>,
    /// How many bytes have been handed on.
    at: u64,
    /// How many bytes of the present answer have been handed on already.
    skip: u64,
    /// The tries that have failed since...
    tries: Spent,
    /// ...this position.
    tries_since: u64,
    /// Whether it is worth asking for a part.
    ranges: bool,
    /// How long the blob is, as the manifest says.
    declared: Option<u64>,
    /// Whether what is said to be gzip has to be unpacked, once that is known.
    packed: Option<bool>,
    /// What unpacks the present answer, if it has to be.
    gunzip: Option<Gunzip>,
}

impl Progress {
    fn new(client: Client, call: Call<'static>, total: Option<u64>) -> Box<Self> {
        Box::new(Self {
            client,
            counted: None,
            call,
            response: None,
            total,
            at: 0,
            skip: 0,
            tries: Spent::default(),
            tries_since: 0,
            ranges: true,
            declared: total,
            packed: None,
            gunzip: None,
        })
    }

    /// Takes in an answer that is the blob from its start, or a part that continues it.
    async fn open(&mut self, response: Response) -> Result<(), Error> {
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

    fn stream(self: Box<Self>) -> BoxStream<'static, Result<Bytes, Error>> {
        let stream = stream::try_unfold(self, |mut state| async move {
            let piece = state.next().await?;
            Ok(piece.map(|piece| (piece, state)))
        });
        stream.boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            let Some(mut response) = self.response.take() else {
                self.resume().await?;
                continue;
            };
            match self.read(&mut response).await {
                Ok(Some(mut piece)) => {
                    self.response = Some(response);
                    let new = piece.split_off(narrow(self.skip).min(piece.len()));
                    self.skip = self.skip.saturating_sub(wide(piece.len()));
                    if !new.is_empty() {
                        self.at = self.at.saturating_add(wide(new.len()));
                        return Ok(Some(new));
                    }
                }
                Ok(None) => return Ok(None),
                // Nothing is missing, whatever else broke; and there is no range to ask for.
                Err(_) if self.total.is_some_and(|total| self.at >= total) => return Ok(None),
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
                    if whole && self.total.is_none_or(|total| self.at >= total) {
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

    /// Asks for the rest: by a closed range, or for all of it where ranges are not understood.
    async fn resume(&mut self) -> Result<(), Error> {
        let shared = std::sync::Arc::clone(&self.client.0);
        loop {
            let mut call = self.call.clone();
            let ranged = self.ranges && self.at > 0;
            if ranged {
                let last = self.total.and_then(|total| total.checked_sub(1));
                let last = last.map(|last| last.to_string()).unwrap_or_default();
                call = call.header(RANGE, &format!("bytes={}-{last}", self.at));
            }
            let response = shared.send(&call).await?;
            match response.status() {
                StatusCode::PARTIAL_CONTENT if ranged => {
                    match content_range(response.headers()) {
                        Some(range) if range.continues(self.at, self.total) => {
                            info!("Reconnected to {} at {}", redacted(response.url()), self.at);
                            self.skip = 0;
                            return self.open(response).await;
                        }
                        range => debug!("Range from {} answered by {range:?}", self.at),
                    }
                    self.ranges = false;
                }
                StatusCode::RANGE_NOT_SATISFIABLE if ranged => self.ranges = false,
                StatusCode::OK => {
                    info!("Reconnected to {} from the start", redacted(response.url()));
                    self.skip = self.at;
                    return self.open(response).await;
                }
                _ => return Err(shared.refusal(response).await.doing("fetching blob")),
            }
        }
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `bytes first-last/complete`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ContentRange {
    first: u64,
    last: u64,
    complete: Option<u64>,
}

impl ContentRange {
    /// Whether these bytes are the rest of what has been read up to `at`, to the end.
    fn continues(self, at: u64, total: Option<u64>) -> bool {
        let end = self.last.checked_add(1);
        self.first == at
            && self.complete.is_none_or(|complete| end == Some(complete))
            && total.is_none_or(|total| end == Some(total))
    }
}

fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let mut values = headers.get_all(CONTENT_RANGE).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let number = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?
    };
    let (range, complete) = value.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let complete = match complete {
        "*" => None,
        complete => Some(number(complete)?),
    };
    Some(ContentRange { first: number(first)?, last: number(last)?, complete })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn content_range_is_read_strictly() {
        for (value, expected) in [
            ("bytes 10-19/20", Some((10, 19, Some(20)))),
            ("bytes 10-19/*", Some((10, 19, None))),
            ("bytes 10-19", None),
            ("bytes */20", None),
            ("bytes +1-19/20", None),
            ("bytes 10-19/20x", None),
            ("octets 10-19/20", None),
            ("bytes 10-/20", None),
            ("bytes 99999999999999999999-1/2", None),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, HeaderValue::from_static(value))]);
            let found = content_range(&headers).map(|r| (r.first, r.last, r.complete));
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn only_the_rest_continues() {
        let range = |first, last, complete| ContentRange { first, last, complete };
        for (range, at, total, expected) in [
            (range(10, 19, Some(20)), 10, Some(20), true),
            (range(10, 19, None), 10, None, true),
            (range(9, 19, Some(20)), 10, Some(20), false),
            (range(10, 18, Some(20)), 10, Some(20), false),
            (range(10, 18, None), 10, Some(20), false),
            (range(10, 20, Some(21)), 10, Some(20), false),
            (range(10, u64::MAX, None), 10, Some(20), false),
        ] {
            assert_eq!(range.continues(at, total), expected, "{range:?}");
        }
    }
}
