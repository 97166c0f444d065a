//! distribution's registry (Debian's docker-registry), where it is installed.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::{Value, json};

use super::signer::{ISSUER, SERVICE, Signer};
use super::{Builder, Registry, htpasswd_text};
use crate::certificate::Certificate;
use crate::run::installed;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A registry of others, for one test. It ends with this value.
#[derive(Debug)]
pub struct Real {
    address: SocketAddr,
    certificate: Option<Certificate>,
    child: Child,
    /// Gives out the tokens, where those are wanted.
    realm: Option<Registry>,
    folder: tempfile::TempDir,
}

impl Real {
    /// Returns a registry over plain HTTP for everybody; `None` if it is not installed. Use it with
    /// [`skip!`](crate::skip).
    #[must_use]
    pub fn start() -> Option<Self> {
        Builder::default().start_real()
    }

    /// Returns `127.0.0.1:port`.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns `docker://127.0.0.1:port/image`.
    #[must_use]
    pub fn docker(&self, image: &str) -> String {
        format!("docker://{}/{image}", self.address)
    }

    /// Returns the certificate to trust, PEM.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.certificate.as_ref().expect("the registry was built with tls()").ca
    }

    /// Returns the realm that gives out its tokens: its requests can be looked at.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    pub fn realm(&self) -> &Registry {
        self.realm.as_ref().expect("the registry was built with token_auth()")
    }

    /// Returns what it logged so far: for the text of a failing assertion.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Builder {
    /// Starts distribution's registry with these users, tokens and this certificate; `None` if it
    /// is not installed. How often a token may be used is the registry's own affair.
    ///
    /// # Panics
    /// If it is installed and does not start, or if it should be what only our own can be.
    #[must_use]
    pub fn start_real(self) -> Option<Real> {
        let only_ours = self.read_only || self.keeps_signatures || !self.faults.is_empty();
        assert!(!only_ours && self.openshift.is_none(), "only our own registry can do that");
        let program = installed("docker-registry")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| {
            let path = place(name);
            fs::write(&path, text).expect("a file");
            path.display().to_string()
        };
        let certificate = self.tls.then(|| Certificate::new(&["localhost", "127.0.0.1"]));
        let mut http = json!({"secret": "testkit"});
        if let Some(certificate) = &certificate {
            let (pem, key) =
                (write("cert", &certificate.certificate), write("key", &certificate.key));
            http["tls"] = json!({"certificate": pem, "key": key});
        }
        let mut config = json!({
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": place("data").display().to_string()},
                "delete": {"enabled": true},
            },
            "compatibility": {"schema1": {"enabled": true}},
        });
        if !self.users.is_empty() {
            let path = write("htpasswd", &htpasswd_text(&self.users));
            config["auth"] = json!({"htpasswd": {"realm": "testkit", "path": path}});
        }
        let realm = self.tokens.map(|tokens| {
            let signer = Signer::new();
            let bundle = write("bundle", &signer.pem);
            let realm = Registry::builder().token_auth(tokens).signer(signer).start();
            config["auth"] = json!({"token": {
                "realm": realm.url("/token"),
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": bundle,
            }});
            realm
        });
        // Between finding a free port and using it, somebody else may take it.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = free.local_addr().expect("an address");
            drop(free);
            http["addr"] = address.to_string().into();
            config["http"] = http.clone();
            // JSON is YAML.
            let path = write("config.yml", &config.to_string());
            let log = fs::File::create(place("log")).expect("a file").into_parts().0;
            let mut command = guarded(&program);
            command.args(["serve", &path]).env_clear().stdin(Stdio::null());
            command.stdout(log.try_clone().expect("a file")).stderr(log);
            let mut child = command.spawn().expect("starting docker-registry");
            if listens(&mut child, address) {
                return Some(Real { address, certificate, child, realm, folder });
            }
        }
        let log = fs::read_to_string(place("log")).unwrap_or_default();
        panic!("docker-registry does not start:\n{log}\nits config: {}", Value::to_string(&config));
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether it comes to listen, or ends before.
fn listens(child: &mut Child, address: SocketAddr) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let _ = child.wait();
    false
}

/// A program that ends with the test, even if the test is killed.
fn guarded(program: &std::path::Path) -> Command {
    match installed("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    }
}
