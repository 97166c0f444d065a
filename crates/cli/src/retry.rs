//! `--retry-times` and `--retry-delay`: the whole step again, when everything below has given up.

use anyhow::{Error, Result};
use skopeo_copy::Retry;

use crate::exit::{is_transient, sentence};

/// Does the step, again after a passing failure, as often as was asked for.
pub(crate) async fn with<T>(retry: Retry, step: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let passing = |error: &Error| is_transient(error).then(|| sentence(error));
    skopeo_copy::retry(retry, passing, step).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let digest = skopeo_image::Digest::sha256(b"");
        let vanished = skopeo_transport::CommitError::Vanished(digest);
        let vanished = Error::from(skopeo_transport::Error::from(vanished)).context("copying");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        for (error, expected) in [(vanished, 2), (anyhow::anyhow!("no such image"), 1)] {
            let (mut tried, mut error) = (0, Some(error));
            let asked = Retry { times: 1, delay: Some(std::time::Duration::from_nanos(1)) };
            let step = async || -> Result<()> {
                tried += 1;
                Err(error.take().unwrap_or_else(|| anyhow::anyhow!("the second time")))
            };
            assert!(runtime.block_on(with(asked, step)).is_err());
            assert_eq!(tried, expected);
        }
    }
}
