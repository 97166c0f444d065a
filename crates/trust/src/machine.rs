//! What a judgement asks of the machine, and what it remembers of the answers.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// The files of keys that a policy names, and the time.
pub trait Machine: Send + Sync + fmt::Debug {
    /// Returns the bytes of a file that policy.json names.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, in words for the user that name the file.
    fn key_file(&self, path: &str) -> Result<Vec<u8>, String>;

    /// Returns the time by which keys, signatures and certificates are judged.
    fn now(&self) -> SystemTime;
}

/// Of a policy that nobody gave a machine: it has no files, and all time is over.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Machine for Nowhere {
    fn key_file(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("open {path}: no files are available here"))
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }
}

/// What was made of keys, so that a file is read and understood once for all images of a run.
#[derive(Debug)]
pub(crate) struct Memory<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Memory<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash, V> Memory<K, V> {
    /// What was made of `key` before, or what `make` makes of it now. Failures are not kept.
    pub(crate) fn or_make<E>(
        &self,
        key: &K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<Arc<V>, E> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(key) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(make()?);
        lock().insert(key.clone(), Arc::clone(&made));
        Ok(made)
    }
}
