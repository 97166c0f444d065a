//! How the holder of a lock shows that it lives: it writes the lock anew from time to time.

use std::time::Duration;

use bytes::Bytes;

/// The shortest pause of a waiter before it looks again.
const PAUSE: Duration = Duration::from_millis(200);

/// Returns one of so many equal parts of a duration.
pub(crate) fn part(whole: Duration, parts: u32) -> Duration {
    whole.checked_div(parts).unwrap_or_default()
}

/// Returns the contents of a lock. They are never the same twice, since some stores make the
/// version of an object from its contents.
pub(crate) fn word() -> Bytes {
    format!("{:032x}", fastrand::u128(..)).into()
}

/// Sleeps before a waiter looks again; no two waiters sleep for the same time.
pub(crate) async fn pause() {
    let more = Duration::from_millis(fastrand::u64(..100));
    tokio::time::sleep(PAUSE.saturating_add(more)).await;
}
