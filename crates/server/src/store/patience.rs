//! Waiting for a lock that another process may have, without a thread that waits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::error::{ApiError, Code};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Tries until it is done, at most until `deadline`.
pub(crate) async fn until<T: Send + 'static>(
    deadline: Instant,
    attempt: impl Fn() -> io::Result<Option<T>> + Send + Sync + 'static,
) -> Result<T, ApiError> {
    let attempt = Arc::new(attempt);
    let mut pause = FIRST_PAUSE;
    loop {
        let once = attempt.clone();
        if let Some(done) = spawn_blocking(move || once()).await.map_err(io::Error::other)?? {
            return Ok(done);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(busy());
        }
        sleep(pause.min(left)).await;
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

/// The answer to who has waited long enough.
pub(crate) fn busy() -> ApiError {
    ApiError::new(Code::Busy, "another request or program holds the lock; try again")
}
