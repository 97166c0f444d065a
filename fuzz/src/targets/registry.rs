//! What registries answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use skopeo_image::Digest;
use skopeo_registry::{Client, ClientOptions, Credentials, RetryPolicy};

use super::image::runtime;
use super::images::replaced;

/// How long a client may wait for what a server says: it may ask for patience.
const LONGEST: Duration = Duration::from_millis(500);

/// A `WWW-Authenticate` header of a hostile server ends in challenges, or none.
pub(super) fn challenge(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.append(WWW_AUTHENTICATE, value.clone());
    headers.append(WWW_AUTHENTICATE, value);
    for (scheme, ..) in skopeo_registry::fuzzing::challenges_in(&headers) {
        assert!(!scheme.is_empty());
    }
}

/// A server that gives these answers, one after the other, whatever it is asked.
struct Hostile {
    address: String,
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
}

static SERVER: LazyLock<Hostile> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let answers: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let given = answers.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Who begins with TLS is told by silence that there is none.
            let mut first = [0];
            if !matches!(stream.peek(&mut first), Ok(1)) || first[0] == 0x16 {
                continue;
            }
            let next = given.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let _ = answer(stream, &next.unwrap_or_else(|| b"404\n".to_vec()));
        }
    });
    Hostile { address, answers }
});

/// Gives one answer: a status, headers, an empty line, a body.
fn answer(mut stream: TcpStream, said: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LONGEST))?;
    let mut lines = BufReader::new(&stream);
    let mut line = Vec::new();
    while lines.by_ref().take(64 * 1024).read_until(b'\n', &mut line)? > 0 && line != b"\r\n" {
        line.clear();
    }
    let (head, body) = match said.windows(2).position(|window| window == b"\n\n") {
        Some(at) => (&said[..at], &said[at + 2..]),
        None => (said, &[][..]),
    };
    let mut head = head.split(|byte| *byte == b'\n');
    let status = head.next().and_then(|status| std::str::from_utf8(status).ok()?.parse().ok());
    // What asks to be tried again takes time and no other way.
    let status = status.filter(|status| (200..500).contains(status) && *status != 429);
    let mut out = format!("HTTP/1.1 {} x\r\n", status.unwrap_or(200)).into_bytes();
    for header in head {
        out.extend_from_slice(header);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(
        format!("connection: close\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(),
    );
    out.extend_from_slice(body);
    stream.write_all(&out)
}

/// What a client does with answers. The first byte says what it asks for; answers are between
/// zeros; `$U` stands for the server's address.
pub(super) fn answers(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let server = &*SERVER;
    let url = format!("http://{}", server.address);
    let mut answers: Vec<Vec<u8>> = rest
        .split(|byte| *byte == 0)
        .map(|answer| replaced(answer, b"$U", url.as_bytes()))
        .collect();
    answers.reverse();
    *server.answers.lock().unwrap_or_else(PoisonError::into_inner) = answers;
    let retry = RetryPolicy { tries: 1, pause: Duration::ZERO, ..RetryPolicy::default() };
    let credentials = Credentials::Basic { username: "user".to_owned(), password: "secret".into() };
    let options = ClientOptions {
        insecure: true,
        retry,
        credentials,
        ..ClientOptions::new(server.address.clone())
    };
    let Ok(client) = Client::new(options) else { return };
    let asking = ask(&client, *which);
    let _ = runtime().block_on(async { tokio::time::timeout(LONGEST, asking).await });
}

async fn ask(client: &Client, which: u8) {
    let repository = client.repository("x");
    let digest = Digest::sha256(b"");
    match which % 8 {
        0 => drop(client.check_login().await),
        1 => drop(client.catalog().await),
        2 => drop(repository.valid_tags().await),
        3 => drop(repository.head_manifest("latest").await),
        4 => {
            if let Ok(fetched) = repository.manifest("latest").await {
                let _ = fetched.manifest.parse();
            }
        }
        5 => drop(repository.referrers(&digest).await),
        6 => drop(repository.delete_tag("latest").await),
        _ => {
            let Ok(download) = repository.blob(&digest, None).await else { return };
            let mut stream = download.stream.boxed();
            while let Some(Ok(_)) = stream.next().await {}
        }
    }
}
