//! An htpasswd file, read again when it changes; logins that cannot take the whole machine.

use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use fs_err as fs;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::Credentials;
use super::throttle::Throttle;
use super::users::Users;
use crate::Error;
use crate::error::Code;

/// How often the file is looked at, at most.
const LOOKED_AT: Duration = Duration::from_millis(250);

/// A file that is younger may change again without its times telling.
const SETTLED: Duration = Duration::from_secs(2);

/// How many logins wait for their turn; more are refused.
const WAITING_LOGINS: usize = 128;

/// Users and the bcrypt hashes of their passwords.
#[derive(Clone)]
pub struct Htpasswd(Arc<Shared>);

struct Shared {
    users: RwLock<Arc<Users>>,
    file: Option<Mutex<File>>,
    throttle: Throttle,
    /// Passwords that are verified, and those that wait for it.
    waiting: Semaphore,
    verifying: Arc<Semaphore>,
}

/// The file that the users came from.
struct File {
    path: PathBuf,
    stamp: Option<Stamp>,
    looked_at: Instant,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
    settled: bool,
}

impl Htpasswd {
    /// Reads a file as `htpasswd -B` writes it. It is read again when it has changed; what cannot
    /// be read then changes nothing, with a warning.
    ///
    /// # Errors
    ///
    /// If it cannot be read, has no users, or a line that is no user with a bcrypt hash.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let stamp = Stamp::of(path);
        let users = read(path)?;
        let file = File { path: path.to_owned(), stamp, looked_at: Instant::now() };
        Ok(Self::new(users, Some(file)))
    }

    /// Reads lines `user:hash`; empty ones and those that begin with `#` are skipped.
    ///
    /// # Errors
    ///
    /// The number of the first line that is neither, counted from 1.
    pub fn parse(text: &str) -> Result<Self, usize> {
        Ok(Self::new(Users::parse(text)?, None))
    }

    fn new(users: Users, file: Option<File>) -> Self {
        // Half of the machine is left to those who are in already.
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() / 2);
        Self(Arc::new(Shared {
            users: RwLock::new(Arc::new(users)),
            file: file.map(Mutex::new),
            throttle: Throttle::default(),
            waiting: Semaphore::new(WAITING_LOGINS),
            verifying: Arc::new(Semaphore::new(threads.max(1))),
        }))
    }

    /// The user's name, if the password is theirs. Who was let in before is at once.
    pub(super) async fn verify(
        &self,
        credentials: Credentials,
        client: Option<IpAddr>,
    ) -> Result<String, Code> {
        let users = self.users().await;
        if !Users::can_be(&credentials) {
            tracing::warn!(
                "a login with a password of more than 72 bytes, or with a zero byte, was refused: \
                 bcrypt does not use all of it"
            );
            return Err(Code::Unauthorized);
        }
        if users.are_proven(&credentials) {
            return Ok(credentials.user);
        }
        let busy = Code::TooManyRequests;
        let attempt = match client {
            Some(address) => Some(self.0.throttle.enter(address).await.ok_or(busy)?),
            None => None,
        };
        let _waiting = self.0.waiting.try_acquire().map_err(|_| busy)?;
        let turn = self.0.verifying.clone().acquire_owned().await.map_err(|_| busy)?;
        let verified = spawn_blocking(move || {
            // Held to the end even if the client goes, or goers would take the whole machine.
            let _turn = turn;
            users.verify(&credentials).then_some(credentials.user)
        });
        let user = verified.await.ok().flatten().ok_or(Code::Unauthorized)?;
        if let Some(attempt) = attempt {
            attempt.was_right();
        }
        Ok(user)
    }

    /// The users as the file has them by now.
    async fn users(&self) -> Arc<Users> {
        if self.0.is_to_be_looked_at() {
            let shared = self.0.clone();
            let _ = spawn_blocking(move || shared.look()).await;
        }
        self.0.users.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn is_to_be_looked_at(&self) -> bool {
        let Some(file) = &self.file else { return false };
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        let due = file.looked_at.elapsed() >= LOOKED_AT;
        if due {
            file.looked_at = Instant::now();
        }
        due
    }

    /// Reads the file again if it has changed.
    fn look(&self) {
        let Some(file) = &self.file else { return };
        let (path, known) = {
            let file = file.lock().unwrap_or_else(PoisonError::into_inner);
            (file.path.clone(), file.stamp)
        };
        let stamp = Stamp::of(&path);
        if stamp == known && stamp.is_none_or(|stamp| stamp.settled) {
            return;
        }
        let same = stamp.map(Stamp::unsettled) == known.map(Stamp::unsettled);
        match read(&path) {
            Ok(users) => {
                let mut current = self.users.write().unwrap_or_else(PoisonError::into_inner);
                if !current.is_same(&users) {
                    tracing::info!("{} has changed: {} users", path.display(), users.len());
                    *current = Arc::new(users);
                }
            }
            Err(_) if same => {}
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!("{error}; the old users stay valid");
            }
        }
        file.lock().unwrap_or_else(PoisonError::into_inner).stamp = stamp;
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        let age = SystemTime::now().duration_since(found.modified().ok()?).unwrap_or_default();
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
            modified: (found.mtime(), found.mtime_nsec()),
            settled: age >= SETTLED,
        })
    }

    fn unsettled(self) -> Self {
        Self { settled: false, ..self }
    }
}

fn read(path: &Path) -> Result<Users, Error> {
    let named = || path.display().to_string();
    let users = Users::parse(&fs::read_to_string(path)?)
        .map_err(|line| Error::Htpasswd { path: named(), line })?;
    if users.len() == 0 {
        return Err(Error::NoUsers { path: named() });
    }
    Ok(users)
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

impl std::fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users = self.0.users.read().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Htpasswd").field("users", &users).finish_non_exhaustive()
    }
}
