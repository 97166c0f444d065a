//! A transparency log in tiles, as Rekor's second version is, on loopback: a real tree, and a real
//! checkpoint with each entry.

mod key;
mod serve;

use crate::merkle;
use std::collections::{BTreeSet, VecDeque};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub use key::LogKey;

/// A log that has some entries of others already. It listens until the test ends.
#[derive(Clone, Debug)]
pub struct TileLog {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    key: LogKey,
    origin: String,
    leaves: Mutex<Vec<Vec<u8>>>,
    known: Mutex<BTreeSet<Vec<u8>>>,
    faults: Mutex<VecDeque<LogFault>>,
    requests: Mutex<Vec<Value>>,
}

/// What goes wrong with the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// It is answered so, and not done.
    Status(u16),
    /// It is done, and the connection ends.
    Unanswered,
    /// The answer is the entry of something else.
    Other,
    /// A member is left out of the answer.
    Without(&'static str),
    /// The proof leads elsewhere.
    Astray,
}

impl TileLog {
    /// Starts one.
    ///
    /// # Panics
    /// If there is no port.
    #[must_use]
    pub fn start(key: LogKey) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            key,
            origin: "127.0.0.1".to_owned(),
            leaves: Mutex::new((0..5).map(|it: u8| vec![it]).collect()),
            known: Mutex::default(),
            faults: Mutex::default(),
            requests: Mutex::default(),
        });
        let own = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let own = own.clone();
                thread::spawn(move || serve::answer(stream, &own));
            }
        });
        Self { address, state }
    }

    /// Returns its address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds one fault to those of the requests that come.
    pub fn fault(&self, fault: LogFault) {
        locked(&self.state.faults).push_back(fault);
    }

    /// Returns what it was asked.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        locked(&self.state.requests).clone()
    }

    /// Returns its key, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        pem(&self.state.key.der())
    }

    /// Sends it the request of a new entry without the network; the status and the answer, if there
    /// is one.
    #[must_use]
    pub fn post(&self, request: &Value) -> Option<(u16, Value)> {
        serve::post(request, &self.state)
    }

    /// Takes an entry in, and says what a bundle has of it.
    #[must_use]
    pub fn add(&self, kind: &str, body: &str) -> Value {
        self.state.add(kind, body)
    }

    /// Returns a note that it signs under that name.
    #[must_use]
    pub fn note(&self, name: &str, text: &str) -> String {
        self.state.key.note(name, text)
    }

    /// Itself, as a trusted root has it, since this time.
    #[must_use]
    pub fn trusted(&self, since: &str) -> Value {
        json!({
            "baseUrl": self.url(),
            "hashAlgorithm": "SHA2_256",
            "publicKey": {
                "rawBytes": STANDARD.encode(self.state.key.der()),
                "keyDetails": self.state.key.details(),
                "validFor": {"start": since},
            },
            "logId": {"keyId": STANDARD.encode(self.state.key.id(&self.state.origin))},
        })
    }
}

impl State {
    fn add(&self, kind: &str, body: &str) -> Value {
        let mut leaves = locked(&self.leaves);
        let index = leaves.len();
        leaves.push(body.as_bytes().to_vec());
        let (root, path) = (merkle::root(&leaves), merkle::path(&leaves, index));
        let size = leaves.len();
        json!({
            "logIndex": index.to_string(),
            "logId": {"keyId": STANDARD.encode(self.key.id(&self.origin))},
            "kindVersion": {"kind": kind, "version": "0.0.2"},
            "integratedTime": "0",
            "inclusionPromise": null,
            "inclusionProof": {
                "logIndex": index.to_string(),
                "rootHash": STANDARD.encode(&root),
                "treeSize": size.to_string(),
                "hashes": path.iter().map(|it| STANDARD.encode(it)).collect::<Vec<_>>(),
                "checkpoint": {"envelope": self.key.checkpoint(&self.origin, size, &root)},
            },
            "canonicalizedBody": STANDARD.encode(body),
        })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
}
