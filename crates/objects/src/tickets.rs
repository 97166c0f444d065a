//! A lock in a store without conditional writes: Lamport's bakery. Who comes says that it is taking
//! a number, takes one more than the highest it sees, and waits for all lower ones. It needs
//! nothing but objects that are listed once they have been written.

use std::collections::HashMap;
use std::time::Instant;

use futures_util::TryStreamExt;
use tracing::warn;

use crate::error::Error;
use crate::heartbeat::{part, pause, word};
use crate::store::{Object, Store};

/// Our place in the queue.
pub(crate) struct Ticket {
    key: String,
}

impl Ticket {
    /// Takes a number in the folder, and waits for its turn.
    pub(crate) async fn take(store: &Store, folder: &str) -> Result<Self, Error> {
        let id = format!("{:016x}", fastrand::u64(..));
        let taking = format!("{folder}/taking/{id}");
        store.put(&taking, word()).await?;
        let highest = match numbers(store, folder).await {
            Ok(there) => there.iter().filter_map(|ticket| number(&ticket.key)).max(),
            Err(error) => {
                let _ = store.delete(&[taking]).await;
                return Err(error);
            }
        };
        let number = highest.unwrap_or(0).saturating_add(1);
        // Of the same length, so that they sort by their numbers.
        let ticket = Self { key: format!("{folder}/number/{number:020}-{id}") };
        let put = store.put(&ticket.key, word()).await;
        store.delete(std::slice::from_ref(&taking)).await?;
        put?;
        match ticket.wait(store, folder).await {
            Ok(()) => Ok(ticket),
            Err(error) => {
                let _ = store.delete(std::slice::from_ref(&ticket.key)).await;
                Err(error)
            }
        }
    }

    pub(crate) fn key(&self) -> &String {
        &self.key
    }

    /// Says that we still have it.
    pub(crate) async fn renew(&self, store: &Store) -> Result<(), Error> {
        store.put(&self.key, word()).await.map(|_| ())
    }

    async fn wait(&self, store: &Store, folder: &str) -> Result<(), Error> {
        let mut watched = Watched::default();
        let mut renewed = Instant::now();
        loop {
            if renewed.elapsed() > part(store.0.dead_after, 4) {
                renewed = Instant::now();
                self.renew(store).await?;
            }
            // First who is taking a number: what was taken before that is seen by the second listing.
            let taking: Vec<Object> = store.list(&format!("{folder}/taking")).try_collect().await?;
            let before = numbers(store, folder).await?;
            let before = before.into_iter().filter(|it| it.key < self.key);
            if !watched.lives(store, taking.into_iter().chain(before)).await? {
                return Ok(());
            }
            pause().await;
        }
    }
}

async fn numbers(store: &Store, folder: &str) -> Result<Vec<Object>, Error> {
    store.list(&format!("{folder}/number")).try_collect().await
}

fn number(key: &str) -> Option<u64> {
    key.rsplit('/').next()?.split('-').next()?.parse().ok()
}

/// Those we wait for, and since when they have not changed.
#[derive(Default)]
struct Watched(HashMap<String, (Object, Instant)>);

impl Watched {
    /// Whether one of them lives. Those that do not are removed.
    async fn lives(
        &mut self,
        store: &Store,
        there: impl Iterator<Item = Object>,
    ) -> Result<bool, Error> {
        let mut lives = false;
        let mut dead = Vec::new();
        let mut known = std::mem::take(&mut self.0);
        for object in there {
            let same = known.remove(&object.key).filter(|(before, _)| *before == object);
            let since = same.map_or_else(Instant::now, |(_, since)| since);
            if since.elapsed() > store.0.dead_after {
                warn!("{} is left over from one who has ended", store.name_of(&object.key));
                dead.push(object.key);
                continue;
            }
            lives = true;
            self.0.insert(object.key.clone(), (object, since));
        }
        store.delete(&dead).await?;
        Ok(lives)
    }
}
