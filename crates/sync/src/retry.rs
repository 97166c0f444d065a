//! A step again after a passing failure.

use skopeo_copy::Retry;

use crate::{Error, Result};

/// Does the step, again after a passing failure, as often as `retry` says.
pub(crate) async fn with<T>(retry: Retry, step: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let passing = |error: &Error| error.is_transient().then(|| error.sentence());
    skopeo_copy::retry(retry, passing, step).await
}
