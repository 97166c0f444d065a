//! Who asks S3, asked anew before it counts no longer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use crate::options::Credentials;

/// What counts for less than this is asked for anew: requests are on their way for a while.
const LEFT: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(crate) struct Renewed {
    source: Credentials,
    last: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

impl Renewed {
    pub(crate) fn new(source: Credentials) -> Self {
        Self { source, last: Mutex::default() }
    }
}

#[async_trait]
impl CredentialProvider for Renewed {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        let counts = |expires: &Option<SystemTime>| {
            expires.is_none_or(|at| at.duration_since(SystemTime::now()).is_ok_and(|it| it > LEFT))
        };
        if let Some((credential, expires)) = &*last
            && counts(expires)
        {
            return Ok(credential.clone());
        }
        let source = self.source.clone();
        let said = tokio::task::spawn_blocking(move || source.say()).await?;
        let keys = said.map_err(|words| object_store::Error::Unauthenticated {
            path: String::new(),
            source: words.into(),
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: keys.id,
            secret_key: keys.secret.reveal().to_owned(),
            token: keys.token.map(|token| token.reveal().to_owned()),
        });
        *last = Some((credential.clone(), keys.expires));
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::options::Keys;

    #[tokio::test]
    async fn what_counts_is_not_asked_for_again() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let renewed = Renewed::new(Credentials::new(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            // The first counts for less than is needed, the second for ever.
            let soon = SystemTime::now() + Duration::from_secs(60);
            let expires = (number == 0).then_some(soon);
            Ok(Keys { id: format!("{number}"), secret: "s".into(), token: None, expires })
        }));
        for expected in ["0", "1", "1"] {
            assert_eq!(renewed.get_credential().await.unwrap().key_id, expected);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn why_nobody_asks_is_told() {
        let renewed = Renewed::new(Credentials::new(|| Err("running x: exit status: 1".into())));
        let error = renewed.get_credential().await.unwrap_err();
        assert!(error.to_string().contains("running x"), "{error}");
    }
}
