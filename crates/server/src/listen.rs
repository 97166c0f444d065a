//! Listening: connections, TLS, limits, an orderly end.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fs_err as fs;
use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::Error;
use crate::body::Body;
use crate::error::Code;
use crate::routes::error_response;

/// How long connections may take to end by themselves when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Room for what is under way on one HTTP/2 stream and connection, in bytes.
const HTTP2_STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// What answers requests: a registry, or something around one.
pub trait Handler: Clone + Send + Sync + 'static {
    /// Answers one request. An error closes the connection without an answer.
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = io::Result<Response<Body>>> + Send;
}

/// What keeps a server from being held for ever.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many connections are served at once; more wait.
    pub connections: usize,
    /// How long a handshake or the head of a request may take, and an idle connection stays.
    pub head: Duration,
    /// How long a request's body may be silent.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (head, idle) = (Duration::from_secs(60), Duration::from_secs(120));
        Self { connections: 1024, head, idle }
    }
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Tls(Arc<rustls::ServerConfig>);

impl Tls {
    /// Reads two PEM files.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or the two do not belong together.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, Error> {
        Self::parse(&fs::read(certificate)?, &fs::read(key)?)
    }

    /// Reads a certificate chain, the server's own first, and its key, both PEM.
    ///
    /// # Errors
    ///
    /// If one is not PEM, or the two do not belong together.
    pub fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, Error> {
        let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Tls(source);
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(error.into()))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| wrong(error.into()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.into()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| wrong(error.into()))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// The same, with a configuration of one's own (client certificates, versions).
    #[must_use]
    pub fn of_config(config: Arc<rustls::ServerConfig>) -> Self {
        Self(config)
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// A server that is running. It ends when this is dropped.
#[derive(Debug)]
pub struct Serving {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Where it listens.
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
    let address = listener.local_addr()?;
    let (stop, stopped) = watch::channel(false);
    let connection = Connection {
        builder: Arc::new(builder(&limits)),
        tls: tls.map(|tls| TlsAcceptor::from(tls.0)),
        head: limits.head,
        stopped: stopped.clone(),
        handler,
    };
    let task = tokio::spawn(accept(listener, limits.connections, stopped, connection));
    Ok(Serving { address, stop, task })
}

async fn accept<H: Handler>(
    listener: TcpListener,
    connections: usize,
    mut stopped: watch::Receiver<bool>,
    connection: Connection<H>,
) {
    let permits = Arc::new(Semaphore::new(connections));
    let mut running = JoinSet::new();
    loop {
        let next = async {
            let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
            Ok((permit, listener.accept().await?.0))
        };
        let accepted: io::Result<_> = tokio::select! {
            accepted = next => accepted,
            () = told(&mut stopped) => break,
        };
        while running.try_join_next().is_some() {}
        match accepted {
            Ok((permit, stream)) => {
                let connection = connection.clone();
                running.spawn(async move {
                    connection.run(stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Out of files, say: it may get better, but not at once.
                tracing::warn!("accepting a connection: {error}");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let _ = timeout(LAST_WORDS, async { while running.join_next().await.is_some() {} }).await;
}

/// Answers a request. A panic is a defect, and ends this request: not the others on its connection,
/// nor those of other clients.
async fn answer<H: Handler>(handler: &H, request: Request<Incoming>) -> io::Result<Response<Body>> {
    match AssertUnwindSafe(handler.answer(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::error!("answering a request: a defect of this program ended it");
            Ok(error_response(&Code::Unknown.into()))
        }
    }
}

/// Waits until the server is to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(limits.head))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_frame_size(256 * 1024)
        .max_send_buf_size(1024 * 1024)
        .max_concurrent_streams(256);
    builder
}

#[derive(Clone)]
struct Connection<H> {
    builder: Arc<Builder<TokioExecutor>>,
    tls: Option<TlsAcceptor>,
    head: Duration,
    stopped: watch::Receiver<bool>,
    handler: H,
}

impl<H: Handler> Connection<H> {
    async fn run(self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else { return self.http(stream).await };
        match timeout(self.head, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => tracing::debug!("TLS handshake: {error}"),
            Err(_) => tracing::debug!("TLS handshake: timed out"),
        }
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S) {
        let handler = self.handler.clone();
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let asked = asked.clone();
            move |request| {
                asked.store(true, Ordering::Relaxed);
                let handler = handler.clone();
                async move { answer(&handler, request).await }
            }
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // hyper's time-out for heads begins only when it knows which HTTP is spoken.
        let mut first = std::pin::pin!(sleep(self.head));
        let mut waiting = true;
        let ended = loop {
            tokio::select! {
                ended = connection.as_mut() => break ended,
                () = told(&mut self.stopped) => {
                    connection.as_mut().graceful_shutdown();
                    break connection.await;
                }
                () = first.as_mut(), if waiting => {
                    waiting = false;
                    if !asked.load(Ordering::Relaxed) {
                        return tracing::debug!("no request came on a connection");
                    }
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!("serving a connection: {error}");
        }
    }
}
