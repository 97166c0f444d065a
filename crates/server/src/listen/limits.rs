//! What keeps a server from being held for ever, or from growing.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use crate::memory::Memory;

/// Files that are open beside those of connections.
const OTHER_FILES: usize = 64;

/// What keeps a server from being held for ever, or from growing. Clones share the memory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// How many connections are served at once; fewer if the memory or the process's open files
    /// are not enough for them. More wait, for a while, for the place of one that does not move.
    pub connections: usize,
    /// How many of them one address may have, IPv6 by its /64; half of them if it is not given,
    /// and all from this machine itself: proxies are there.
    pub connections_per_address: Option<usize>,
    /// How long a handshake or the head of a request may take, and an idle connection stays.
    pub head: Duration,
    /// How long a body may be silent in either direction, or less than 512 bytes a second.
    pub idle: Duration,
    /// How long a client may move little while others wait for what it holds.
    pub grace: Duration,
    /// How long a request waits for memory or a place before it is refused with 503.
    pub patience: Duration,
    /// How much memory clients may make the server use.
    pub memory: Memory,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            connections_per_address: None,
            head: Duration::from_secs(60),
            idle: Duration::from_secs(120),
            grace: Duration::from_secs(3),
            patience: Duration::from_secs(20),
            memory: Memory::default(),
        }
    }
}

impl Limits {
    /// How many connections can be served at once.
    pub(crate) fn most_connections(&self) -> usize {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let files = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES);
        // A socket and a file for each, and half as many that wait.
        let by_files = (files / 5).saturating_mul(2);
        self.connections.min(self.memory.connections()).min(by_files).max(1)
    }

    /// How many may wait for a place.
    pub(crate) fn most_parked(&self) -> usize {
        (self.most_connections() / 2).max(1)
    }

    /// How many requests may be answered at once.
    pub(crate) fn most_requests(&self) -> usize {
        self.most_connections().saturating_mul(2)
    }

    /// How often connections are judged.
    pub(crate) fn interval(&self) -> Duration {
        let shortest = self.idle.min(self.head).min(self.grace);
        shortest
            .checked_div(8)
            .unwrap_or_default()
            .clamp(Duration::from_millis(10), Duration::from_millis(250))
    }
}
