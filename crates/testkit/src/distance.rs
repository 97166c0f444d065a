//! A long way to a server: a proxy for TCP that takes its time, but no bandwidth.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
pub struct Distance {
    address: SocketAddr,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    open: AtomicU64,
    most: AtomicU64,
    there: AtomicU64,
    back: AtomicU64,
}

impl Distance {
    /// A way to `server` on which everything takes `one_way` in each direction.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn to(server: SocketAddr, one_way: Duration) -> Self {
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
                    () = accept(listener, server, one_way, counted) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { address, counts, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it begins.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// How many connections there were at once, at most.
    #[must_use]
    pub fn most_connections(&self) -> u64 {
        self.counts.most.load(Ordering::Relaxed)
    }

    /// How many bytes have gone to the server, and how many have come back.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (count(&self.counts.there), count(&self.counts.back))
    }
}

impl Drop for Distance {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: Listener, server: SocketAddr, one_way: Duration, counts: Arc<Counts>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connect(client, server, one_way, counts.clone()));
    }
}

async fn connect(client: TcpStream, server: SocketAddr, one_way: Duration, counts: Arc<Counts>) {
    counts.connections.fetch_add(1, Ordering::Relaxed);
    let open = counts.open.fetch_add(1, Ordering::Relaxed) + 1;
    counts.most.fetch_max(open, Ordering::Relaxed);
    // Nobody hears of the server before its answer to the first packet is back.
    let from = Instant::now() + 2 * one_way;
    if let Ok(server) = TcpStream::connect(server).await {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (client, server) = (client.into_split(), server.into_split());
        tokio::join!(
            carry(client.0, server.1, from, one_way, &counts.there),
            carry(server.0, client.1, from, one_way, &counts.back),
        );
    }
    counts.open.fetch_sub(1, Ordering::Relaxed);
}

/// Carries one direction to its end, which arrives as late as the bytes before it.
async fn carry(
    mut reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    from: Instant,
    one_way: Duration,
    count: &AtomicU64,
) {
    let (under_way, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; PIECE];
        loop {
            let got = reader.read(&mut buffer).await.unwrap_or_default();
            let due = Instant::now().max(from) + one_way;
            // Nothing is the end, and the other side is gone if nobody takes it.
            if under_way.send((due, buffer[..got].to_vec())).await.is_err() || got == 0 {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = arriving.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if piece.is_empty() {
                return writer.shutdown().await;
            }
            writer.write_all(&piece).await?;
            count.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        Ok::<_, io::Error>(())
    };
    // Who does not read any more is not written to either, and a writer that failed ends both.
    let _ = tokio::join!(read, write);
}
