//! `--retry-times` and `--retry-delay`: the whole step again, when everything below has given up.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use anyhow::Result;
use tracing::{debug, warn};

use crate::args::image::Retry;
use crate::exit::{is_transient, sentence};
use crate::go;

/// Does the step, again after a passing failure, as often as was asked for.
pub(crate) async fn with<T>(retry: Retry, mut step: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut tried = 0;
    loop {
        let error = match step().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if tried >= retry.times || !is_transient(&error) {
            return Err(error);
        }
        let pause = match retry.delay.0 {
            0 => 1_000_000_000_i64.saturating_mul(1 << tried.min(30)),
            fixed => fixed,
        };
        tried += 1;
        warn!(
            "Failed, retrying in {} ... ({tried}/{}). Error: {}",
            go::duration(pause),
            retry.times,
            sentence(&error)
        );
        // A tenth of chance, so that many who failed together do not come back together.
        let pause = pause.saturating_add(random_below(pause / 10));
        debug!("Retry delay with added jitter: {}", go::duration(pause));
        tokio::time::sleep(Duration::from_nanos(u64::try_from(pause).unwrap_or_default())).await;
    }
}

fn random_below(limit: i64) -> i64 {
    // Every `RandomState` has keys of its own.
    let random = RandomState::new().build_hasher().finish() >> 1;
    i64::try_from(random).unwrap_or_default().checked_rem(limit).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::args::value::GoDuration;

    fn run(times: i64, error: impl Fn() -> anyhow::Error) -> i64 {
        let tried = Cell::new(0);
        let step = async || -> Result<()> {
            tried.set(tried.get() + 1);
            Err(error())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let retry = Retry { times, delay: GoDuration(1) };
        assert!(runtime.block_on(with(retry, step)).is_err());
        tried.get()
    }

    #[test]
    fn tries_again_only_what_may_pass() {
        let vanished = || {
            let digest = skopeo_image::Digest::sha256(b"");
            anyhow::Error::from(skopeo_transport::Error::Vanished(digest)).context("copying")
        };
        assert_eq!(run(2, vanished), 3);
        assert_eq!(run(0, vanished), 1);
        assert_eq!(run(2, || anyhow::anyhow!("no such image")), 1);
    }

    #[test]
    fn chance_stays_within_its_limits() {
        assert_eq!(random_below(0), 0);
        assert!((0..100).all(|_| (0..10).contains(&random_below(10))));
    }
}
