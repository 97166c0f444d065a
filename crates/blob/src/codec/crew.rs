//! Blocks of one stream, worked on by many threads and put together in their order.

use std::collections::VecDeque;
use std::io;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// What one block is worked on with. It goes to a thread and comes back, again and again: buffers
/// made anew for each block, on many threads, made the program three times as large.
pub(super) trait Desk: Sized + Send + 'static {
    fn work(self) -> io::Result<Self>;
}

/// More desks than this many, for all layers together, cost memory for little: that is faster than
/// any disk.
pub(super) const MOST: usize = 16;

/// Desks beside the one that each stream has anyway, shared by all streams of the program: as many
/// as there are processors, so that memory does not grow with the number of layers.
pub(super) struct Pool<D>(Mutex<Shared<D>>);

struct Shared<D> {
    idle: Vec<D>,
    lent: usize,
}

impl<D> Pool<D> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Shared { idle: Vec::new(), lent: 0 }))
    }

    fn shared(&self) -> MutexGuard<'_, Shared<D>> {
        // Every change is one push and one number, so a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads that work for one stream.
pub(super) struct Crew<D: Desk> {
    pool: &'static Pool<D>,
    make: fn() -> D,
    /// The desk that nobody can take from this stream: with it alone it goes on, so that no stream
    /// ever waits for another.
    own: Option<D>,
    running: VecDeque<oneshot::Receiver<io::Result<D>>>,
    lent: usize,
    most: usize,
}

impl<D: Desk> Crew<D> {
    /// Takes `most` desks of the pool at most.
    pub(super) fn new(pool: &'static Pool<D>, make: fn() -> D, most: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let most = processors.min(most);
        Self { pool, make, own: Some(make()), running: VecDeque::new(), lent: 0, most }
    }

    /// A desk to fill, if one is free; else take what is done first.
    pub(super) fn free(&mut self) -> Option<D> {
        if let Some(own) = self.own.take() {
            return Some(own);
        }
        let mut shared = self.pool.shared();
        if shared.lent >= self.most {
            return None;
        }
        shared.lent = shared.lent.saturating_add(1);
        self.lent = self.lent.saturating_add(1);
        Some(shared.idle.pop().unwrap_or_else(self.make))
    }

    /// Has a desk worked at.
    pub(super) fn start(&mut self, desk: D) {
        let (to, result) = oneshot::channel();
        tokio::task::spawn_blocking(move || to.send(desk.work()).ok());
        self.running.push_back(result);
    }

    /// Waits for the desk that was started first of those that are not back yet.
    pub(super) fn first(&mut self) -> io::Result<Option<D>> {
        let Some(first) = self.running.pop_front() else { return Ok(None) };
        first.blocking_recv().map_err(io::Error::other).flatten().map(Some)
    }

    /// Takes a desk back that nothing is to be read from any more.
    pub(super) fn give_back(&mut self, desk: D) {
        if self.lent == 0 {
            self.own = Some(desk);
            return;
        }
        let mut shared = self.pool.shared();
        shared.lent = shared.lent.saturating_sub(1);
        self.lent = self.lent.saturating_sub(1);
        shared.idle.push(desk);
    }
}

impl<D: Desk> Drop for Crew<D> {
    fn drop(&mut self) {
        // What is still worked at is thrown away by its thread.
        let mut shared = self.pool.shared();
        shared.lent = shared.lent.saturating_sub(self.lent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(u32);

    impl Desk for Number {
        fn work(self) -> io::Result<Self> {
            if self.0 == 13 { Err(io::Error::other("unlucky")) } else { Ok(Self(self.0 * 2)) }
        }
    }

    static POOL: Pool<Number> = Pool::new();

    fn doubled(numbers: &[u32]) -> io::Result<Vec<u32>> {
        let mut crew = Crew::new(&POOL, || Number(0), MOST);
        let mut done = Vec::new();
        for number in numbers {
            let mut desk = loop {
                if let Some(desk) = crew.free() {
                    break desk;
                }
                let first = crew.first()?.expect("what is not free is running");
                done.push(first.0);
                crew.give_back(first);
            };
            desk.0 = *number;
            crew.start(desk);
        }
        while let Some(first) = crew.first()? {
            done.push(first.0);
            crew.give_back(first);
        }
        Ok(done)
    }

    #[tokio::test]
    async fn keeps_the_order_and_its_desks() {
        let numbers: Vec<u32> = (100..300).collect();
        let expected: Vec<u32> = numbers.iter().map(|number| number * 2).collect();
        let all = (0..5).map(|_| {
            let numbers = numbers.clone();
            tokio::task::spawn_blocking(move || doubled(&numbers).unwrap())
        });
        for done in futures_util::future::join_all(all).await {
            assert_eq!(done.unwrap(), expected);
        }
        let failed = tokio::task::spawn_blocking(|| doubled(&[1, 2, 13, 4, 5, 6, 7])).await;
        assert_eq!(failed.unwrap().unwrap_err().to_string(), "unlucky");
        let shared = POOL.shared();
        assert_eq!(shared.lent, 0);
        assert!(shared.idle.len() <= MOST);
    }
}
