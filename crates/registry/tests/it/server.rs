//! A server that does as it is told: HTTP/1.1 on loopback, answers from a function.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use skopeo_registry::{Client, ClientOptions, Credentials, RetryPolicy, Timeouts};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it came in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query, or whatever else stood there.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    end: End,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Whole,
    /// Closes the connection after so many bytes of the body.
    Cut(usize),
    /// Says nothing more after so many bytes of the body.
    Silent(usize),
    /// Closes the connection without a word.
    Hangup,
}

pub(crate) fn reply(status: u16) -> Reply {
    Reply { status, headers: Vec::new(), body: Vec::new(), end: End::Whole }
}

pub(crate) fn hangup() -> Reply {
    Reply { end: End::Hangup, ..reply(0) }
}

impl Reply {
    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(crate) fn cut(mut self, after: usize) -> Self {
        self.end = End::Cut(after);
        self
    }

    pub(crate) fn silent(mut self, after: usize) -> Self {
        self.end = End::Silent(after);
        self
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;
type Early = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

pub(crate) struct Server {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Answers each request once it has been read whole.
    pub(crate) async fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, |_| None, handler).await
    }

    /// The same over TLS.
    pub(crate) async fn start_tls(
        acceptor: TlsAcceptor,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(Some(acceptor), |_| None, handler).await
    }

    /// Two servers on one port: what is spoken first decides which of them answers. Only what came
    /// in the clear is logged.
    pub(crate) async fn start_both(
        acceptor: TlsAcceptor,
        secure: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
        plain: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (secure, plain): (Arc<Handler>, Arc<Handler>) = (Arc::new(secure), Arc::new(plain));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (secure, plain, log) =
                    (Arc::clone(&secure), Arc::clone(&plain), Arc::clone(&log));
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut first = [0];
                    if stream.peek(&mut first).await.is_ok_and(|read| read == 1 && first[0] == 0x16)
                    {
                        let Ok(stream) = acceptor.accept(stream).await else { return };
                        serve(stream, &*secure, &|_| None, &Mutex::default()).await;
                        return;
                    }
                    serve(stream, &*plain, &|_| None, &log).await;
                });
            }
        });
        Self { host, seen, task }
    }

    /// `early` may answer before the body has been read, and then closes the connection.
    pub(crate) async fn start_with(
        tls: Option<TlsAcceptor>,
        early: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (handler, early): (Arc<Handler>, Arc<Early>) = (Arc::new(handler), Arc::new(early));
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (handler, early, log) =
                    (Arc::clone(&handler), Arc::clone(&early), Arc::clone(&log));
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &*handler, &*early, &log).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            serve(stream, &*handler, &*early, &log).await;
                        }
                    }
                });
            }
        });
        Self { host, seen, task }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// `METHOD path` of all requests so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    /// Options of a client that may speak http, and does not wait long.
    pub(crate) fn options(&self) -> ClientOptions {
        options(&self.host)
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.options()).unwrap()
    }

    pub(crate) fn client_as(&self, credentials: Credentials) -> Client {
        Client::new(ClientOptions { credentials, ..self.options() }).unwrap()
    }
}

pub(crate) fn options(host: &str) -> ClientOptions {
    ClientOptions {
        insecure: true,
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            idle: Duration::from_millis(300),
            commit: Duration::from_secs(5),
        },
        retry: RetryPolicy {
            tries: 4,
            pause: Duration::from_millis(1),
            busy_pause: Duration::from_millis(1),
            longest_wait: Duration::from_millis(60),
            progress: 1000,
        },
        ..ClientOptions::new(host)
    }
}

pub(crate) fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: password.into() }
}

/// An error and its sources in one line, as the program prints them.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// Serves one connection until either side has had enough.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    handler: &Handler,
    early: &Early,
    log: &Mutex<Vec<Seen>>,
) {
    let mut stream = BufReader::new(stream);
    // What a plain server says to someone who speaks TLS.
    if stream.fill_buf().await.is_ok_and(|bytes| bytes.first() == Some(&0x16)) {
        let _ = stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nspeak http").await;
        return;
    }
    while let Some(mut seen) = head(&mut stream).await {
        if let Some(answer) = early(&seen) {
            log.lock().unwrap().push(seen);
            send(&mut stream, &answer, false).await;
            // Unread bytes would turn the close into a reset, which may overtake the answer.
            let _ = stream.shutdown().await;
            let mut rest = [0; 65536];
            while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {}
            return;
        }
        let whole = body(&mut stream, &mut seen).await;
        log.lock().unwrap().push(seen.clone());
        if !whole {
            return;
        }
        if !send(&mut stream, &handler(&seen), seen.method == "HEAD").await {
            return;
        }
    }
}

async fn line(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.ok()? {
            b'\n' => return String::from_utf8(line).ok().map(|line| line.trim_end().to_owned()),
            byte => line.push(byte),
        }
    }
}

async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Seen> {
    let first = line(stream).await?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut seen = Seen { method, path, ..Seen::default() };
    loop {
        let line = line(stream).await?;
        if line.is_empty() {
            return Some(seen);
        }
        let (name, value) = line.split_once(':')?;
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads the body; false if it broke off.
async fn body(stream: &mut (impl AsyncRead + Unpin), seen: &mut Seen) -> bool {
    if let Some(length) = seen.header("content-length") {
        let length: u64 = length.parse().unwrap();
        let read = stream.take(length).read_to_end(&mut seen.body).await;
        return read.is_ok_and(|read| read as u64 == length);
    }
    if seen.header("transfer-encoding") != Some("chunked") {
        return true;
    }
    loop {
        let Some(size) = line(stream).await else { return false };
        let Ok(size) = usize::from_str_radix(&size, 16) else { return false };
        let mut piece = vec![0; size];
        if stream.read_exact(&mut piece).await.is_err() || line(stream).await.is_none() {
            return false;
        }
        seen.body.extend(piece);
        if size == 0 {
            return true;
        }
    }
}

/// Sends an answer; false if the connection is over.
async fn send(stream: &mut (impl AsyncWrite + Unpin), reply: &Reply, bare: bool) -> bool {
    if matches!(reply.end, End::Hangup) {
        return false;
    }
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    let is_length = |name: &str| {
        ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str())
    };
    if !reply.headers.iter().any(|(name, _)| is_length(name)) {
        head.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    }
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    if stream.write_all(head.as_bytes()).await.is_err() {
        return false;
    }
    let body: &[u8] = match reply.end {
        _ if bare => &[],
        End::Whole | End::Hangup => &reply.body,
        End::Cut(after) | End::Silent(after) => &reply.body[..after.min(reply.body.len())],
    };
    let sent = stream.write_all(body).await.is_ok() && stream.flush().await.is_ok();
    match reply.end {
        End::Whole => sent,
        End::Cut(_) | End::Hangup => {
            let _ = stream.shutdown().await;
            false
        }
        End::Silent(_) => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            false
        }
    }
}
