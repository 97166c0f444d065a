//! When a server in process rests: nothing that clients asked for is in work, nor what is cleaned
//! up after clients that went. Its folder can be read then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::sleep;

/// On how many threads a server's runtime waits for the disk: so few that all can be asked at once.
pub const BLOCKING: usize = 16;

/// How often the network is looked at before it is believed that nothing has come.
const LOOKS: usize = 16;

/// Connections of clients that live on stay open. They are at rest after so long without a request.
const IDLE: Duration = Duration::from_millis(100);

/// The longest wait. What is in work then stays in work for ever.
const LONGEST: Duration = Duration::from_secs(60);

/// Who wants to know when a server rests.
#[derive(Clone, Debug)]
pub struct Rest(UnboundedSender<mpsc::Sender<bool>>);

/// The server's side of it.
#[derive(Debug)]
pub struct Observer(UnboundedReceiver<mpsc::Sender<bool>>);

/// Both sides.
#[must_use]
pub fn rest() -> (Rest, Observer) {
    let (asking, asked) = unbounded_channel();
    (Rest(asking), Observer(asked))
}

impl Rest {
    /// Waits until the server rests; whether it does. It does if it has ended.
    #[must_use]
    pub fn wait(&self) -> bool {
        let (tell, told) = mpsc::channel();
        self.0.send(tell).is_err() || told.recv().unwrap_or(true)
    }
}

impl Observer {
    /// Tells those who ask, until nobody can ask. Runs beside servers that listen already, in a
    /// runtime that does nothing else, has one thread, and waits for the disk on [`BLOCKING`].
    pub async fn tell(mut self, working: &Working) {
        let listening = Handle::current().metrics().num_alive_tasks();
        while let Some(asking) = self.0.recv().await {
            let _ = asking.send(comes_to_rest(working, listening).await);
        }
    }
}

/// How many requests are being answered.
#[derive(Clone, Debug, Default)]
pub struct Working(Arc<AtomicUsize>);

/// A request that is being answered.
#[derive(Debug)]
pub struct Work(Arc<AtomicUsize>);

impl Working {
    /// Returns one more, as long as the value lives.
    #[must_use]
    pub fn begin(&self) -> Work {
        self.0.fetch_add(1, Ordering::SeqCst);
        Work(self.0.clone())
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Waits until the runtime rests; whether it does. `listening` is how many tasks it has without any
/// connection.
async fn comes_to_rest(working: &Working, listening: usize) -> bool {
    let (begun, metrics) = (Instant::now(), Handle::current().metrics());
    let mut quiet: Option<(Instant, usize)> = None;
    while begun.elapsed() < LONGEST {
        let tasks = metrics.num_alive_tasks();
        settle().await;
        if !working.is_none() || metrics.num_alive_tasks() != tasks {
            quiet = None;
        } else if tasks == listening {
            return true;
        } else {
            let (since, before) = *quiet.get_or_insert_with(|| (Instant::now(), tasks));
            if before != tasks {
                quiet = None;
            } else if since.elapsed() >= IDLE {
                return true;
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
    false
}

/// Lets all that has come be read, and all threads that wait for the disk come to their ends.
async fn settle() {
    // Each makes the runtime look at its sockets once.
    for _ in 0..LOOKS {
        yield_now().await;
    }
    // What was begun before goes first: when these have all threads, nothing else has one.
    let all = Arc::new(Barrier::new(BLOCKING));
    let waiting = (0..BLOCKING).map(|_| {
        let all = all.clone();
        spawn_blocking(move || all.wait().is_leader())
    });
    join_all(waiting).await;
    for _ in 0..LOOKS {
        yield_now().await;
    }
}
