//! Who brings which blob: one at a time, for all images of a run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skopeo_image::Digest;
use tokio::sync::OwnedMutexGuard;

type Key = (String, Digest);

/// The blobs that somebody is bringing to a pool, or waits to bring. Who comes second waits for the
/// first to end, and then finds there what the first has brought.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>);

/// The right to bring a blob; the next in line has it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    key: Key,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    pub(crate) async fn take(self: &Arc<Self>, pool: String, digest: Digest) -> Turn {
        let key = (pool, digest);
        let line = self.lines().entry(key.clone()).or_default().clone();
        // Made before waiting, so that who gives up in line leaves no line behind.
        let mut turn = Turn { turns: self.clone(), key, guard: None };
        turn.guard = Some(line.lock_owned().await);
        turn
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Key, Arc<tokio::sync::Mutex<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        self.guard.take();
        // Who else holds the line is in it, or has it; nobody joins while the map is locked.
        if lines.get(&self.key).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_left() {
        let turns = Arc::new(Turns::default());
        let digest = Digest::sha256(b"x");
        let first = turns.take("a".to_owned(), digest.clone()).await;
        let mut second = Box::pin(turns.take("a".to_owned(), digest.clone()));
        assert!((&mut second).now_or_never().is_none());
        let elsewhere = turns.take("b".to_owned(), digest.clone()).now_or_never();
        assert!(elsewhere.is_some());
        let mut impatient = Box::pin(turns.take("a".to_owned(), digest.clone()));
        assert!((&mut impatient).now_or_never().is_none());
        drop(impatient);
        drop(first);
        let second = second.await;
        drop((second, elsewhere));
        assert!(turns.lines().is_empty());
    }
}
