//! A long way to a server: a proxy for TCP that takes its time, and gives each connection no more
//! than a rate, where one is said.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// How many pieces may be under way on one connection: more than any line in a test takes up.
const UNDER_WAY: usize = 1024;

/// A way to a server that each byte is under way on for a while. It ends with this value.
///
/// What is under way does not hold up what comes behind it. A connection costs its own round trip
/// before its first byte, as TCP's does.
#[derive(Debug)]
pub struct SlowNetwork {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a connection is like.
#[derive(Clone, Copy, Debug)]
struct Line {
    one_way: Duration,
    /// In bytes a second.
    rate: Option<NonZeroU64>,
    /// How long it may carry nothing.
    idle: Option<Duration>,
}

impl Line {
    /// How long so many bytes take to pass.
    fn time_of(self, bytes: usize) -> Duration {
        let rate = self.rate.map(|rate| Duration::from_secs_f64(bytes as f64 / rate.get() as f64));
        rate.unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    open: AtomicU64,
    most: AtomicU64,
    there: AtomicU64,
    back: AtomicU64,
    closed: AtomicU64,
}

/// When a connection last carried something.
struct Carried(Mutex<Instant>);

impl Carried {
    fn last(&self) -> MutexGuard<'_, Instant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.last() = Instant::now();
    }

    /// Waits until nothing was carried for so long; for ever where that is no matter.
    async fn idle(&self, idle: Option<Duration>) {
        let Some(idle) = idle else { return std::future::pending().await };
        loop {
            let end = *self.last() + idle;
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end.into()).await;
        }
    }
}

impl SlowNetwork {
    /// Returns a way to `server` on which everything takes `one_way` in each direction.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn to(server: SocketAddr, one_way: Duration) -> Self {
        Self::with_rate(server, one_way, None)
    }

    /// Returns the same, on which each connection carries at most `rate` bytes a second in each
    /// direction.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn with_rate(server: SocketAddr, one_way: Duration, rate: Option<NonZeroU64>) -> Self {
        Self::over(server, Line { one_way, rate, idle: None })
    }

    /// Returns a way on which a connection is closed that carried nothing for so long, as balancers
    /// do.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn closing_idle(server: SocketAddr, idle: Duration) -> Self {
        Self::over(server, Line { one_way: Duration::ZERO, rate: None, idle: Some(idle) })
    }

    fn over(server: SocketAddr, line: Line) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a listener that waits for nobody");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = oneshot::channel();
        let counted = counts.clone();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = Listener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, server, line, counted) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { address, counts, stop: Some(stop), thread: Some(thread) }
    }

    /// Returns where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how many connections there have been.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// Returns how many connections there were at once, at most.
    #[must_use]
    pub fn most_connections(&self) -> u64 {
        self.counts.most.load(Ordering::Relaxed)
    }

    /// Returns how many connections were closed because they carried nothing.
    #[must_use]
    pub fn closed(&self) -> u64 {
        self.counts.closed.load(Ordering::Relaxed)
    }

    /// Returns how many bytes have gone to the server, and how many have come back.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.counts.there), count(&self.counts.back))
    }
}

impl Drop for SlowNetwork {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: Listener, server: SocketAddr, line: Line, counts: Arc<Counts>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, server, line, counts.clone()));
    }
}

async fn connect(client: TcpStream, server: SocketAddr, line: Line, counts: Arc<Counts>) {
    counts.connections.fetch_add(1, Ordering::Relaxed);
    let open = counts.open.fetch_add(1, Ordering::Relaxed) + 1;
    counts.most.fetch_max(open, Ordering::Relaxed);
    // Nobody hears of the server before its answer to the first packet is back.
    let from = Instant::now() + 2 * line.one_way;
    if let Ok(server) = TcpStream::connect(server).await {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (client, server) = (client.into_split(), server.into_split());
        let carried = Carried(Mutex::new(Instant::now()));
        let carry = async {
            tokio::join!(
                carry(client.0, server.1, from, line, &counts.there, &carried),
                carry(server.0, client.1, from, line, &counts.back, &carried),
            )
        };
        tokio::select! {
            _ = carry => {}
            () = carried.idle(line.idle) => {
                counts.closed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    counts.open.fetch_sub(1, Ordering::Relaxed);
}

/// Carries one direction to its end, which arrives as late as the bytes before it.
async fn carry(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    from: Instant,
    line: Line,
    count: &AtomicU64,
    carried: &Carried,
) {
    let (under_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; PIECE];
        loop {
            let got = reader.read(&mut buffer).await.unwrap_or_default();
            let due = Instant::now().max(from) + line.one_way;
            // Nothing is the end, and the other side is gone if nobody takes it.
            if under_way.send((due, buffer[..got].to_vec())).await.is_err() || got == 0 {
                return;
            }
        }
    };
    let write = async move {
        let mut free = from;
        while let Some((due, piece)) = arriving.recv().await {
            // A piece is there when its last byte is, and the next one comes behind it.
            free = free.max(due) + line.time_of(piece.len());
            tokio::time::sleep_until(free.into()).await;
            if piece.is_empty() {
                return writer.shutdown().await;
            }
            writer.write_all(&piece).await?;
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
            carried.now();
        }
        Ok::<_, io::Error>(())
    };
    // Who does not read any more is not written to either, and a writer that failed ends both.
    let _ = tokio::join!(read, write);
}
