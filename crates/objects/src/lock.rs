//! One at a time, by an object that says so.
//!
//! Nobody's clock is asked what time it is elsewhere. Who holds the lock writes it anew again and
//! again; who waits watches whether it changes. What has not changed for as long as the store's
//! options say is left over from one who has ended, and is taken over.

use std::fmt;
use std::time::Instant;

use tracing::{debug, warn};

use crate::error::Error;
use crate::heartbeat::{part, pause, word};
use crate::replace::{Before, Replaced};
use crate::store::{Store, Version};
use crate::tickets::Ticket;

/// A lock that is held. It has to be [kept](Lease::keep) from time to time.
pub struct Lease {
    store: Store,
    held: Option<Held>,
    renewed: Instant,
}

enum Held {
    /// The object of the lock, and which one is ours.
    Object(String, Version),
    /// Of a store without conditional writes.
    Ticket(Ticket),
}

impl Store {
    /// Takes the lock that is the object, or the folder, `key`; waits for who has it. Who says that
    /// the store has no [conditions](Self::has_conditions) gets one without them.
    ///
    /// # Errors
    /// If the store cannot be written to.
    pub async fn lock(&self, key: &str, conditional: bool) -> Result<Lease, Error> {
        if !conditional {
            let renewed = Instant::now();
            let ticket = Ticket::take(self, key).await?;
            return Ok(Lease { store: self.clone(), held: Some(Held::Ticket(ticket)), renewed });
        }
        let mut watched = Watched::new(self, key);
        let mut before = Before::Nothing;
        loop {
            let renewed = Instant::now();
            if let Replaced::Written(version) = self.replace(key, word(), &before).await? {
                let held = Some(Held::Object(key.to_owned(), version));
                return Ok(Lease { store: self.clone(), held, renewed });
            }
            before = match watched.look().await? {
                LockState::Free => Before::Nothing,
                LockState::Dead(version) => Before::This(version),
                LockState::Held => {
                    pause().await;
                    continue;
                }
            };
        }
    }

    /// Waits until nobody has the lock `key`, which is one with conditions. Gives back whether
    /// somebody had it.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn wait_for(&self, key: &str) -> Result<bool, Error> {
        let mut watched = Watched::new(self, key);
        let mut waited = false;
        loop {
            match watched.look().await? {
                LockState::Free => return Ok(waited),
                LockState::Held => {
                    waited = true;
                    pause().await;
                }
                LockState::Dead(version) => {
                    // Only one of those who see that takes it over, and then away.
                    if let Replaced::Written(version) =
                        self.replace(key, word(), &Before::This(version)).await?
                    {
                        let held = Some(Held::Object(key.to_owned(), version));
                        let renewed = Instant::now();
                        Lease { store: self.clone(), held, renewed }.release().await?;
                    }
                }
            }
        }
    }
}

impl Lease {
    /// Tells the store, where that is due, that the lock is still held.
    ///
    /// # Errors
    /// If the store had no word for so long that others may take the lock for left over.
    pub async fn keep(&mut self) -> Result<(), Error> {
        let dead = self.store.0.dead_after;
        let age = self.renewed.elapsed();
        if age < part(dead, 4) {
            return Ok(());
        }
        let Some(held) = &mut self.held else { return Ok(()) };
        let name = held.name(&self.store);
        if age > part(dead, 2) {
            return Err(Error::LostLock(name));
        }
        let now = Instant::now();
        let kept = match held {
            Held::Ticket(ticket) => ticket.renew(&self.store).await.map(|()| true),
            Held::Object(key, version) => {
                let before = Before::This(version.clone());
                match self.store.replace(key, word(), &before).await? {
                    Replaced::Written(new) => {
                        *version = new;
                        Ok(true)
                    }
                    Replaced::Changed => Ok(false),
                }
            }
        };
        if !kept? {
            return Err(Error::LostLock(name));
        }
        self.renewed = now;
        Ok(())
    }

    /// Runs what needs the lock, and ends it before others may take the lock for left over.
    ///
    /// # Errors
    /// As `work`, or if it took too long.
    pub async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.keep().await?;
        let end = self.renewed.checked_add(part(self.store.0.dead_after, 2));
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        match tokio::time::timeout(left.unwrap_or_default(), work).await {
            Ok(result) => result,
            Err(_) => {
                let name = self.held.as_ref().map(|held| held.name(&self.store));
                Err(Error::LostLock(name.unwrap_or_default()))
            }
        }
    }

    /// Gives the lock back.
    ///
    /// # Errors
    /// If the store does not take it; then others wait for a while.
    pub async fn release(mut self) -> Result<(), Error> {
        match self.held.take() {
            Some(held) => held.release(&self.store).await,
            None => Ok(()),
        }
    }
}

impl Held {
    fn name(&self, store: &Store) -> String {
        match self {
            Self::Object(key, _) => store.name_of(key),
            Self::Ticket(ticket) => store.name_of(ticket.key()),
        }
    }

    async fn release(self, store: &Store) -> Result<(), Error> {
        let key = match &self {
            Self::Object(key, _) => key,
            Self::Ticket(ticket) => ticket.key(),
        };
        store.delete(std::slice::from_ref(key)).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let store = self.store.clone();
        let released = runtime.spawn(async move {
            if let Err(error) = held.release(&store).await {
                debug!("giving a lock back: {error}");
            }
        });
        self.store.0.aborting.add(released);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a lock looks like to who waits for it.
enum LockState {
    Free,
    Held,
    /// It has not changed for too long.
    Dead(Version),
}

struct Watched<'a> {
    store: &'a Store,
    key: &'a str,
    since: Option<(Version, Instant)>,
}

impl<'a> Watched<'a> {
    fn new(store: &'a Store, key: &'a str) -> Self {
        Self { store, key, since: None }
    }

    async fn look(&mut self) -> Result<LockState, Error> {
        let Some(there) = self.store.head(self.key).await? else { return Ok(LockState::Free) };
        match &self.since {
            Some((version, since)) if *version == there.version => {
                if since.elapsed() < self.store.0.dead_after {
                    return Ok(LockState::Held);
                }
                warn!("{} is left over from one who has ended", self.store.name_of(self.key));
                Ok(LockState::Dead(there.version))
            }
            _ => {
                self.since = Some((there.version, Instant::now()));
                Ok(LockState::Held)
            }
        }
    }
}
