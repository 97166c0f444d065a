//! One blob over several connections: ranges that come side by side and are given out in order.
//!
//! Each range is read by a task of its own into memory, so that a connection is done with it
//! whether or not somebody takes the bytes. What lies in memory is limited: see
//! [`RangeOptions::length`]. A registry that does not send ranges, or stops doing so, is read over
//! one connection, from the byte on that is next.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use skopeo_image::number::wide;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::debug;

use super::progress::{Download, Progress};
use crate::call::Call;
use crate::client::Client;
use crate::error::Error;
use crate::options::RangeOptions;

/// Begins to read a blob of `size` bytes from `offset` on over as many connections as one blob may
/// have. `None` if one connection is to do, or the registry sends no ranges: whatever else is wrong
/// shows again there.
pub(super) async fn download(
    client: &Client,
    call: &Call<'static>,
    size: u64,
    offset: u64,
) -> Option<Download> {
    let options = client.0.options.ranges;
    let is_large = size.saturating_sub(offset) >= options.threshold.max(1);
    if options.connections.get() == 1 || options.length == 0 || !is_large {
        return None;
    }
    let call = Call { apart: true, ..call.clone() };
    let end = offset.saturating_add(options.length).min(size);
    let mut first = Progress::of_range(client.clone(), call.clone(), size, (offset, end));
    if let Err(error) = first.resume().await {
        debug!("Asking for the first range of a blob: {error}");
        return None;
    }
    if first.range.is_none() {
        debug!("The registry does not send ranges of blobs");
        return Some(first.whole());
    }
    let mut ranges = Ranges {
        client: client.clone(),
        call,
        options,
        size,
        at: offset,
        begun: end,
        window: VecDeque::new(),
        connections: Arc::new(Semaphore::new(options.connections.get())),
        tasks: JoinSet::new(),
        alone: None,
    };
    ranges.spawn(first, end);
    let stream = stream::try_unfold(ranges, |mut ranges| async move {
        let piece = ranges.next().await?;
        Ok(piece.map(|piece| (piece, ranges)))
    });
    Some(Download { stream: stream.boxed(), size: Some(size.saturating_sub(offset)) })
}

/// A blob of which ranges are on their way.
struct Ranges {
    client: Client,
    call: Call<'static>,
    options: RangeOptions,
    size: u64,
    /// The next byte to be given out.
    at: u64,
    /// The first byte that nobody has asked for.
    begun: u64,
    /// What is asked for, in order.
    window: VecDeque<Window>,
    connections: Arc<Semaphore>,
    /// They end with this value.
    tasks: JoinSet<()>,
    /// The rest of the blob, once no more ranges come.
    alone: Option<BoxStream<'static, Result<Bytes, Error>>>,
}

/// A range on its way.
struct Window {
    /// The first byte behind it.
    end: u64,
    /// Holds no more than the range.
    pieces: mpsc::UnboundedReceiver<Result<Bytes, Stop>>,
}

/// Why a range did not come to its end.
enum Stop {
    /// The registry did not send the range.
    Refused,
    Failed(Error),
}

impl Ranges {
    /// The next piece of the blob; none at its end.
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(alone) = &mut self.alone {
                return alone.next().await.transpose();
            }
            self.begin();
            let Some(window) = self.window.front_mut() else { return Ok(None) };
            match window.pieces.recv().await {
                Some(Ok(piece)) => {
                    self.at = self.at.saturating_add(wide(piece.len()));
                    return Ok(Some(piece));
                }
                None if self.at == window.end => drop(self.window.pop_front()),
                Some(Err(Stop::Failed(error))) => return Err(error),
                None | Some(Err(Stop::Refused)) => self.go_alone().await?,
            }
        }
    }

    /// Asks for as many ranges as may be in memory at once.
    fn begin(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let most = self.options.connections.get();
        let most = most.saturating_add(most.div_ceil(2));
        while self.window.len() < most && self.begun < self.size {
            let start = self.begun;
            let end = start.saturating_add(self.options.length).min(self.size);
            let (client, call) = (self.client.clone(), self.call.clone());
            self.spawn(Progress::of_range(client, call, self.size, (start, end)), end);
            self.begun = end;
        }
    }

    fn spawn(&mut self, progress: Box<Progress>, end: u64) {
        let (sender, pieces) = mpsc::unbounded_channel();
        let connections = Arc::clone(&self.connections);
        self.tasks.spawn(async move {
            // Nobody closes it.
            let _permit = connections.acquire().await;
            read(progress, &sender).await;
        });
        self.window.push_back(Window { end, pieces });
    }

    /// Reads the rest over one connection.
    async fn go_alone(&mut self) -> Result<(), Error> {
        debug!("The ranges of a blob end at {}: the rest comes over one connection", self.at);
        self.window.clear();
        self.tasks.abort_all();
        let mut progress = Progress::new(self.client.clone(), self.call.clone(), Some(self.size));
        (progress.at, progress.tries_since) = (self.at, self.at);
        progress.resume().await?;
        self.alone = Some(progress.stream());
        Ok(())
    }
}

/// Reads a range to its end, or until nobody wants it.
async fn read(mut progress: Box<Progress>, to: &mpsc::UnboundedSender<Result<Bytes, Stop>>) {
    loop {
        let piece = progress.next().await;
        let refused = progress.range.is_none_or(|range| range.is_refused);
        let (message, ended) = match piece {
            _ if refused => (Err(Stop::Refused), true),
            Ok(Some(piece)) => (Ok(piece), false),
            Ok(None) => return,
            Err(error) => (Err(Stop::Failed(error)), true),
        };
        if to.send(message).is_err() || ended {
            return;
        }
    }
}
