//! Which connections there are, who gets the next place, and who must leave.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::limits::Limits;
use crate::memory::{Use, Waiting};
use crate::peer::{Judgement, Peer};

/// A kept connection without a request for so long makes room for a new one.
const UNUSED: Duration = Duration::from_secs(2);

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Admission {
    limits: Limits,
    most: usize,
    places: Mutex<Places>,
    parked: AtomicUsize,
    room: Notify,
}

#[derive(Debug, Default)]
struct Places {
    next: u64,
    peers: HashMap<u64, Arc<Peer>>,
    by_address: HashMap<IpAddr, usize>,
    /// Who waits for a place: as whose it counts, and whether it is not only its own that are
    /// taken.
    wanted: HashMap<SocketAddr, (IpAddr, bool)>,
}

/// The place of a connection; free again when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    id: u64,
    address: IpAddr,
    admission: Arc<Admission>,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        let most = limits.most_connections();
        let (places, parked, room) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
        Arc::new(Self { limits, most, places, parked, room })
    }

    /// Gives a connection its place, which another may have to leave; none if none became free.
    pub(super) async fn enter(self: &Arc<Self>, peer: &Arc<Peer>) -> Option<ConnectionSlot> {
        let address = counted_as(peer.address.ip());
        if let Ok(place) = self.try_enter(peer, address) {
            return Some(place);
        }
        if self.parked.load(Ordering::Relaxed) >= self.limits.most_parked() {
            tracing::debug!("too many connections: the connection of {} is refused", peer.address);
            return None;
        }
        let _parked = Waiting::of(&self.parked);
        let waiting = async {
            loop {
                match self.try_enter(peer, address) {
                    Ok(place) => return place,
                    Err(all) => _ = self.lock().wanted.insert(peer.address, (address, all)),
                }
                // A place that becomes free between these two is found at the next attempt.
                let _ = timeout(self.limits.interval(), self.room.notified()).await;
            }
        };
        timeout(self.limits.head, waiting).await.ok()
    }

    /// The error is whether all places are taken, not only those of this address.
    fn try_enter(
        self: &Arc<Self>,
        peer: &Arc<Peer>,
        address: IpAddr,
    ) -> Result<ConnectionSlot, bool> {
        let mut places = self.lock();
        let all_taken = places.peers.len() >= self.most;
        let of_address = places.by_address.get(&address).copied().unwrap_or_default();
        if all_taken || of_address >= self.most_of(address) {
            return Err(all_taken);
        }
        let id = places.next;
        places.next = places.next.wrapping_add(1);
        places.peers.insert(id, peer.clone());
        places.by_address.insert(address, of_address.saturating_add(1));
        Ok(ConnectionSlot { id, address, admission: self.clone() })
    }

    fn most_of(&self, address: IpAddr) -> usize {
        let default = if address.is_loopback() { self.most } else { self.most.div_ceil(2) };
        self.limits.connections_per_address.unwrap_or(default).clamp(1, self.most)
    }

    /// Judges all connections: cuts those that are late, and as many of those that move least as
    /// others wait for.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut places = self.lock();
        let wanted: Vec<_> = std::mem::take(&mut places.wanted).into_values().collect();
        let mut left: Vec<_> = Vec::with_capacity(places.peers.len());
        for peer in places.peers.values() {
            let judgement = peer.judge(now);
            if self.is_late(&judgement) {
                tracing::debug!("{} is cut off: {judgement:?}", peer.address);
                peer.cut();
            } else {
                left.push((peer.clone(), judgement));
            }
        }
        drop(places);
        self.make_room(&wanted, &mut left);
        for kind in [Use::Answer, Use::Manifest, Use::Upload] {
            self.make_memory(kind, &mut left);
        }
    }

    fn is_late(&self, judgement: &Judgement) -> bool {
        let Limits { idle, head, .. } = self.limits;
        // Who is slow with a body gets an answer first that says so.
        judgement.answer > idle
            || judgement.request > idle.saturating_mul(2)
            || judgement.idle.is_some_and(|unused| unused > idle.max(head))
    }

    /// Cuts as many connections as others wait for a place.
    fn make_room(&self, wanted: &[(IpAddr, bool)], left: &mut Vec<(Arc<Peer>, Judgement)>) {
        let grace = self.limits.grace;
        let useless = |judgement: &Judgement| {
            let slow = judgement.holds.longest();
            let unused = judgement.idle.filter(|unused| *unused > UNUSED.min(grace));
            unused.max(Some(slow).filter(|slow| *slow > grace))
        };
        for (address, all_taken) in wanted {
            let worst = left
                .iter()
                .enumerate()
                .filter(|(_, (peer, _))| *all_taken || counted_as(peer.address.ip()) == *address)
                .filter_map(|(place, (_, judgement))| Some((useless(judgement)?, place)))
                .max();
            let Some((useless, place)) = worst else { continue };
            let (peer, _) = left.swap_remove(place);
            tracing::debug!("{} makes room for {address}: idle for {useless:?}", peer.address);
            peer.cut();
        }
    }

    /// Cuts as many connections as requests wait for memory of one kind.
    fn make_memory(&self, kind: Use, left: &mut Vec<(Arc<Peer>, Judgement)>) {
        for _ in 0..self.limits.memory.waiting(kind) {
            let slow = |judgement: &Judgement| judgement.holds.of(kind);
            let worst = left.iter().enumerate().map(|(place, (_, of))| (slow(of), place)).max();
            let Some((slow, place)) = worst else { return };
            if slow <= self.limits.grace {
                return;
            }
            let (peer, _) = left.swap_remove(place);
            tracing::debug!("{} gives up memory: slow for {slow:?}", peer.address);
            peer.cut();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut places = self.admission.lock();
        places.peers.remove(&self.id);
        if let Some(count) = places.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                places.by_address.remove(&self.address);
            }
        }
        drop(places);
        self.admission.room.notify_one();
    }
}

/// Whose connection it is: whoever has an IPv6 address has the whole /64.
pub(crate) fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into())
        }
        other => other,
    }
}
