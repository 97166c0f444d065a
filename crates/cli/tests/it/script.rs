//! A server that says whatever a test wants it to say, byte by byte: what no registry does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Ask {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Answers requests until the process ends.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Ask>>>,
}

impl Script {
    /// `answer` writes all of the answer; the connection is closed after it.
    pub(crate) fn start(
        answer: impl Fn(&Ask, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let script = Self { address: listener.local_addr().unwrap(), asked: Arc::default() };
        let asked = script.asked.clone();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (asked, answer) = (asked.clone(), answer.clone());
                // A client that goes away is none of our business.
                std::thread::spawn(move || stream.and_then(|s| serve(s, &asked, &*answer)));
            }
        });
        script
    }

    /// `127.0.0.1:port`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `docker://127.0.0.1:port/image`.
    pub(crate) fn docker(&self, image: &str) -> String {
        format!("docker://{}/{image}", self.address)
    }

    /// The requests so far.
    pub(crate) fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    asked: &Mutex<Vec<Ask>>,
    answer: &dyn Fn(&Ask, &mut TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    // TLS, if it is tried, is no line.
    (&mut reader).take(8192).read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(()) };
    let (method, target) = (method.to_owned(), target.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let ask = Ask { method, target, headers };
    let length = ask.header("content-length").parse().unwrap_or(0);
    io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
    asked.lock().unwrap().push(ask.clone());
    answer(&ask, &mut stream)?;
    stream.flush()
}

/// Writes an answer's head and body; `headers` are whole lines without their ends.
pub(crate) fn respond(
    stream: &mut TcpStream,
    status: &str,
    headers: &[&str],
    body: &[u8],
) -> io::Result<()> {
    head(stream, status, headers, Some(body.len() as u64))?;
    stream.write_all(body)
}

/// Writes an answer's head, which promises so many bytes.
pub(crate) fn head(
    stream: &mut TcpStream,
    status: &str,
    headers: &[&str],
    length: Option<u64>,
) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for header in headers {
        text += &format!("{header}\r\n");
    }
    if let Some(length) = length {
        text += &format!("Content-Length: {length}\r\n");
    }
    stream.write_all((text + "\r\n").as_bytes())
}
