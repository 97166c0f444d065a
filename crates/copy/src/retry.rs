//! The whole step again, when everything below has given up.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use skopeo_image::go;
use tracing::{debug, warn};

/// How often, and how far apart, a step is done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often, after the first time.
    pub times: u64,
    /// The pause before each new try; `None` is 1, 2, 4, ... seconds.
    pub delay: Option<Duration>,
}

/// Does the step, again after a passing failure, as often as `retry` says. `passing` gives the
/// sentence of a failure after which the step may go well in a moment, and `None` of any other.
///
/// # Errors
/// The last failure.
pub async fn retry<T, E>(
    retry: Retry,
    passing: impl Fn(&E) -> Option<String>,
    mut step: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let mut tried = 0_u64;
    loop {
        let error = match step().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let sentence = if tried < retry.times { passing(&error) } else { None };
        let Some(sentence) = sentence else { return Err(error) };
        let pause = retry.delay.unwrap_or_else(|| Duration::from_secs(1 << tried.min(30)));
        tried = tried.saturating_add(1);
        let times = retry.times;
        warn!("Failed, retrying in {} ... ({tried}/{times}). Error: {sentence}", printed(pause));
        // A tenth of chance, so that many who failed together do not come back together.
        let pause = pause.saturating_add(random_below(pause.checked_div(10).unwrap_or_default()));
        debug!("Retry delay with added jitter: {}", printed(pause));
        tokio::time::sleep(pause).await;
    }
}

fn printed(pause: Duration) -> String {
    go::duration(i64::try_from(pause.as_nanos()).unwrap_or(i64::MAX))
}

fn random_below(limit: Duration) -> Duration {
    // Every `RandomState` has keys of its own.
    let random = RandomState::new().build_hasher().finish();
    let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.checked_rem(limit).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn run(times: u64, passing: Option<&str>) -> u64 {
        let tried = Cell::new(0);
        let step = async || -> Result<(), ()> {
            tried.set(tried.get() + 1);
            Err(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let asked = Retry { times, delay: Some(Duration::from_nanos(1)) };
        let done = retry(asked, |()| passing.map(str::to_owned), step);
        assert!(runtime.block_on(done).is_err());
        tried.get()
    }

    #[test]
    fn tries_again_only_what_may_pass() {
        assert_eq!(run(2, Some("gone")), 3);
        assert_eq!(run(0, Some("gone")), 1);
        assert_eq!(run(2, None), 1);
    }

    #[test]
    fn chance_stays_within_its_limits() {
        assert_eq!(random_below(Duration::ZERO), Duration::ZERO);
        let limit = Duration::from_nanos(10);
        assert!((0..100).all(|_| random_below(limit) < limit));
    }
}
