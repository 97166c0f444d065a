//! The signals that ask a program to end.

#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)
)]

use std::io::Read as _;
use std::task::Poll;

use anyhow::{Context as _, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Interrupted;

/// The signals that ask a program to end, which end this one no more once the value is there.
///
/// A signal that the program was started to ignore stays ignored: `nohup` does so with SIGHUP, a
/// shell with the SIGINT of what it starts in the background.
pub(crate) struct Signals(Vec<(u8, Signal)>);

impl Signals {
    /// Begins to listen; inside a runtime.
    pub(crate) fn listen() -> Result<Self> {
        let ignored = ignored();
        let all = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::terminate()];
        let numbered = all.into_iter().filter_map(|kind| {
            let number = u8::try_from(kind.as_raw_value()).ok()?;
            Some((number, kind))
        });
        let heard = numbered.filter(|(number, _)| {
            let bit = u32::from(*number).checked_sub(1).and_then(|bit| ignored.checked_shr(bit));
            bit.is_none_or(|bits| bits & 1 == 0)
        });
        let listen = |(number, kind)| Ok((number, signal(kind).context("listening for signals")?));
        heard.map(listen).collect::<Result<_>>().map(Self)
    }

    /// Waits for one.
    pub(crate) async fn wait(mut self) -> Interrupted {
        let number = std::future::poll_fn(|context| {
            let came = self.0.iter_mut().find_map(|(number, signal)| {
                signal.poll_recv(context).is_ready().then_some(*number)
            });
            came.map_or(Poll::Pending, Poll::Ready)
        });
        Interrupted { code: number.await.saturating_add(128), hint: None }
    }
}

/// The signals that the system does not give us, one bit each, from SIGHUP on. Where it does not
/// say, none.
fn ignored() -> u64 {
    let mut status = String::with_capacity(4096);
    if let Ok(file) = fs_err::File::open("/proc/self/status") {
        // Its length is not known before: without this limit it is read in pieces from 32 bytes on.
        let _ = file.take(1 << 16).read_to_string(&mut status);
    }
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
