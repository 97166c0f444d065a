//! Programs that speak as the stores of clouds do: moto for S3, Azurite for Azure.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(90);

/// The account that Azurite knows, and its key, which everybody knows.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A store for one test, with one bucket. It ends with this value.
#[derive(Debug)]
pub struct Cloud {
    child: Child,
    /// What leads programs to it.
    pub environment: Vec<(&'static str, String)>,
    /// The bucket, as in names of images.
    pub bucket: String,
    _folder: tempfile::TempDir,
}

impl Cloud {
    /// moto, if it is installed. Use it with [`skip!`](crate::skip).
    ///
    /// # Errors
    /// Why there is none here.
    pub fn moto() -> Result<Self, String> {
        let why = "moto_server is not installed (pip: moto[s3,server])";
        let folder = found("python").ok_or(why)?;
        let port = free_port();
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", folder).args(["-m", "moto.server"]);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut cloud = Self::start(command, port, "s3://bucket".to_owned())?;
        let who = "AWS4-HMAC-SHA256 Credential=AKID/20261201/us-east-1/s3/aws4_request, \
                   SignedHeaders=host, Signature=x";
        ask(port, &format!("PUT /bucket HTTP/1.1\r\nAuthorization: {who}\r\n"))?;
        cloud.environment = vec![
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            ("AWS_ACCESS_KEY_ID", "AKID".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        Ok(cloud)
    }

    /// Azurite, if it is installed.
    ///
    /// # Errors
    /// Why there is none here.
    pub fn azurite() -> Result<Self, String> {
        let why = "azurite-blob is not installed (npm: azurite)";
        let program = found("npm/node_modules/.bin/azurite-blob").ok_or(why)?;
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["--silent", "--inMemoryPersistence", "--skipApiVersionCheck"]);
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        let mut cloud = Self::start(command, port, format!("az://{ACCOUNT}/container"))?;
        let headers = "x-ms-date:Tue, 01 Dec 2026 00:00:00 GMT\nx-ms-version:2021-08-06\n";
        let resource = format!("/{ACCOUNT}/{ACCOUNT}/container\nrestype:container");
        let text = format!("PUT\n{}{headers}{resource}", "\n".repeat(11));
        let key = STANDARD.decode(KEY).map_err(|error| error.to_string())?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()).as_ref());
        let headers = headers.replace(':', ": ").replace("00: 00: 00", "00:00:00");
        let headers = headers.replace('\n', "\r\n");
        ask(
            port,
            &format!(
                "PUT /{ACCOUNT}/container?restype=container HTTP/1.1\r\n{headers}\
                 Authorization: SharedKey {ACCOUNT}:{signature}\r\n"
            ),
        )?;
        let address = format!("http://127.0.0.1:{port}/{ACCOUNT}");
        let text = format!("AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address}");
        cloud.environment = vec![("AZURE_STORAGE_CONNECTION_STRING", text)];
        Ok(cloud)
    }

    fn start(mut command: Command, port: u16, bucket: String) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let quiet = command.current_dir(folder.path()).stdin(Stdio::null());
        let quiet = quiet.stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().map_err(|error| error.to_string())?;
        let mut cloud = Self { child, environment: Vec::new(), bucket, _folder: folder };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = cloud.child.try_wait().ok().flatten();
            assert!(ended.is_none() && Instant::now() < deadline, "{command:?} does not listen");
            sleep(Duration::from_millis(50));
        }
        Ok(cloud)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `cargo xtask test` has installed below the folder of what is built.
fn found(below: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let mut folders = own.ancestors().map(|folder| folder.join("peers").join(below));
    folders.find(|path| path.exists())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Sends a request without a body, which must be granted.
fn ask(port: u16, head: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(failed)?;
    let rest = format!("Host: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{rest}").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    assert!(answer.starts_with("HTTP/1.1 20"), "making the bucket: {answer}");
    Ok(())
}
