//! Work that goes on after its value has been dropped: uploads that are ended before their time,
//! and locks that are given back.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

/// Uploads that are being ended before their time.
#[derive(Clone, Default)]
pub(crate) struct Aborting(Arc<Mutex<Vec<JoinHandle<()>>>>);

impl Aborting {
    pub(crate) fn add(&self, aborting: JoinHandle<()>) {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        there.retain(|aborting| !aborting.is_finished());
        there.push(aborting);
    }

    pub(crate) async fn settle(&self) {
        let there = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for aborting in there {
            let _ = aborting.await;
        }
    }
}
