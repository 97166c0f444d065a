//! One connection: TLS, which HTTP it is, and how much of it is kept in memory.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::limits::Limits;
use super::socket::Socket;
use super::tls::Tls;
use super::{Handler, told};
use crate::body::Body;
use crate::error::Code;
use crate::memory::Windows;
use crate::peer::Peer;
use crate::response::{error_response, seal};

/// The largest head of a request, and how much is read or written at once, in bytes.
const HTTP1_BUFFER: usize = 64 * 1024;

/// The largest head of a request, in bytes.
const HTTP2_HEAD: u32 = 16 * 1024;

/// The largest frame of HTTP/2, in bytes: it is in memory until it is whole.
const HTTP2_FRAME: u32 = 32 * 1024;

/// How much of answers waits in HTTP/2 for each stream, in bytes.
const HTTP2_SENT: usize = 64 * 1024;

/// How many requests there may be at once on one connection of HTTP/2.
const HTTP2_STREAMS: u32 = 64;

/// How much TLS keeps of what a client does not read, in bytes.
const TLS_BUFFER: usize = 32 * 1024;

/// What serves connections.
#[derive(Clone)]
pub(super) struct Connection<H> {
    builder: Arc<Builder<TokioExecutor>>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    stopped: watch::Receiver<bool>,
    handler: H,
}

impl<H: Handler> Connection<H> {
    pub(super) fn new(
        tls: Option<Tls>,
        limits: Limits,
        stopped: watch::Receiver<bool>,
        handler: H,
    ) -> Self {
        let builder = Arc::new(builder(&limits));
        let tls = tls.map(|tls| TlsAcceptor::from(tls.0));
        Self { builder, tls, limits, stopped, handler }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn stopped(&self) -> watch::Receiver<bool> {
        self.stopped.clone()
    }

    /// Serves it to its end.
    pub(super) async fn run(self, stream: TcpStream, peer: Arc<Peer>) {
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            let Some(http2) = self.speaks_http2(&stream).await else { return };
            return self.http(Socket::new(stream, peer.clone()), peer, http2).await;
        };
        let socket = Socket::new(stream, peer.clone());
        let small = |session: &mut rustls::ServerConnection| {
            session.set_buffer_limit(Some(TLS_BUFFER));
        };
        match timeout(self.limits.head, tls.accept_with(socket, small)).await {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.http(stream, peer, http2).await;
            }
            Ok(Err(error)) => tracing::debug!("TLS handshake: {error}"),
            Err(_) => tracing::debug!("TLS handshake: timed out"),
        }
    }

    /// Whether the first bytes are those of HTTP/2; none if there come none.
    async fn speaks_http2(&self, stream: &TcpStream) -> Option<bool> {
        let mut stopped = self.stopped.clone();
        let mut first = [0; 4];
        let seen = tokio::select! {
            seen = timeout(self.limits.head, stream.peek(&mut first)) => seen.ok()?.ok()?,
            () = told(&mut stopped) => return None,
        };
        Some(seen == first.len() && &first == b"PRI ")
    }

    async fn http<S>(mut self, stream: S, peer: Arc<Peer>, http2: bool)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let windows = http2.then(|| self.limits.memory.windows());
        let builder = match &windows {
            Some(windows) => Arc::new(with_windows(&self.builder, windows)),
            None => self.builder.clone(),
        };
        let handler = self.handler.clone();
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let asked = asked.clone();
            move |mut request: Request<Incoming>| {
                asked.store(true, Ordering::Relaxed);
                request.extensions_mut().insert(peer.clone());
                let handler = handler.clone();
                async move { answer(&handler, request).await }
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        // hyper's time-out for heads begins only when it knows which HTTP is spoken.
        let mut first = std::pin::pin!(sleep(self.limits.head));
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

/// Answers a request. A panic is a defect, and ends this request: not the others on its connection,
/// nor those of other clients.
async fn answer<H: Handler>(handler: &H, request: Request<Incoming>) -> io::Result<Response<Body>> {
    match AssertUnwindSafe(handler.answer(request)).catch_unwind().await {
        Ok(answer) => answer,
        Err(_) => {
            tracing::error!("answering a request: a bug in this program ended it");
            let mut response = error_response(&Code::Unknown.into());
            seal(&mut response);
            Ok(response)
        }
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HTTP1_BUFFER)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(limits.head))
        .max_header_list_size(HTTP2_HEAD)
        .max_frame_size(HTTP2_FRAME)
        .max_send_buf_size(HTTP2_SENT)
        .max_concurrent_streams(HTTP2_STREAMS);
    builder
}

fn with_windows(builder: &Builder<TokioExecutor>, windows: &Windows) -> Builder<TokioExecutor> {
    let mut builder = builder.clone();
    builder
        .http2()
        .initial_stream_window_size(windows.stream)
        .initial_connection_window_size(windows.connection);
    builder
}
