//! Listening: connections, TLS, limits, an orderly end.

pub(crate) mod admission;
mod connection;
mod limits;
mod socket;
mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::Error;
use crate::body::Body;
use crate::origin::Local;
use crate::peer::Peer;

use admission::Admission;
use connection::Connection;

pub use limits::Limits;
pub use tls::Tls;

/// How long connections may take to end by themselves when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// What answers requests: a registry, or something around one.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request. An error closes the connection without an answer.
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = io::Result<Response<Body>>> + Send;
}

/// A server that is running. It ends when this is dropped.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets the requests under way end, a few seconds at most.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        let _ = (&mut self.task).await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Binds an address.
///
/// # Errors
///
/// If it is none of this machine or in use.
pub async fn bind(address: &str) -> Result<TcpListener, Error> {
    let failed =
        |source: io::Error| Error::Listen { address: address.to_owned(), source: source.into() };
    TcpListener::bind(address).await.map_err(failed)
}

/// Serves `handler` on the current runtime.
///
/// # Errors
///
/// If the listener has no address.
pub fn serve<H: Handler>(
    listener: TcpListener,
    tls: Option<Tls>,
    limits: Limits,
    handler: H,
) -> Result<Serving, Error> {
    serve_as(None, listener, tls, limits, handler)
}

/// The same for a listener that was asked for by a name.
pub(crate) fn serve_as<H: Handler>(
    name: Option<String>,
    listener: TcpListener,
    tls: Option<Tls>,
    limits: Limits,
    handler: H,
) -> Result<Serving, Error> {
    let address = listener.local_addr()?;
    let loopback = address.ip().to_canonical().is_loopback();
    let (stop, stopped) = watch::channel(false);
    let admission = Admission::new(limits.clone());
    let connection = Connection::new(tls, limits, stopped.clone(), handler);
    let local = Arc::new(Local { loopback, name });
    let task = tokio::spawn(accept(listener, local, admission, stopped, connection));
    Ok(Serving { address, stop, task })
}

async fn accept<H: Handler>(
    listener: TcpListener,
    local: Arc<Local>,
    admission: Arc<Admission>,
    mut stopped: watch::Receiver<bool>,
    connection: Connection<H>,
) {
    let mut running = JoinSet::new();
    let mut sweep = interval(connection.limits().interval());
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = sweep.tick() => {
                admission.sweep();
                while running.try_join_next().is_some() {}
                continue;
            }
            () = told(&mut stopped) => break,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer::new(address, local.clone());
                running.spawn(admitted(admission.clone(), connection.clone(), stream, peer));
            }
            Err(error) => {
                // Out of files, say: it may get better, but not at once.
                tracing::warn!("accepting a connection: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let ended = async {
        loop {
            tokio::select! {
                ended = running.join_next() => if ended.is_none() { break },
                _ = sweep.tick() => admission.sweep(),
            }
        }
    };
    let _ = timeout(LAST_WORDS, ended).await;
}

async fn admitted<H: Handler>(
    admission: Arc<Admission>,
    connection: Connection<H>,
    stream: TcpStream,
    peer: Arc<Peer>,
) {
    let mut stopped = connection.stopped();
    let place = tokio::select! {
        place = admission.enter(&peer) => place,
        () = told(&mut stopped) => None,
    };
    let Some(_place) = place else { return };
    tokio::select! {
        () = connection.run(stream, peer.clone()) => {}
        () = peer.is_cut() => {}
    }
}

/// Waits until the server is to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}
