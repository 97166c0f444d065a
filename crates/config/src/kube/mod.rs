//! kubeconfig: how the API of `OpenShift` is reached, and as whom.
//!
//! As in the original: the current context of the files that `$KUBECONFIG` lists, or of
//! `~/.kube/config`; nothing of it goes to a server that is not reached by https.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use skopeo_image::Secret;
use url::Url;

use crate::{Environment, Error, env, paths};

/// The server when nothing says another.
const DEFAULT_SERVER: &str = "http://localhost:8080";

/// How the API of a cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeApi {
    /// Its address, http or https, without user and password.
    pub server: Url,
    /// The bearer token to send.
    pub token: Option<Secret>,
    /// A name and a password to send; never beside a token.
    pub basic: Option<(String, Secret)>,
    /// The only certificates to trust, in PEM, instead of the system's.
    pub roots_pem: Option<Vec<u8>>,
    /// The client certificate and its key, in PEM.
    pub client_pair: Option<(Vec<u8>, Secret)>,
    /// Whether any certificate of the server is accepted.
    pub insecure: bool,
}

impl KubeApi {
    pub(crate) fn load(environment: &Environment) -> Result<Self, Error> {
        let merged = Merged::load(environment)?;
        let context = merged.contexts.get(&merged.current).cloned().unwrap_or_default();
        let mut cluster = merged.clusters.get(&context.cluster).cloned().unwrap_or_default();
        let user = merged.users.get(&context.user).cloned().unwrap_or_default();
        let mut wrong = user.faults(&context.user);
        wrong.extend(cluster.faults(&context.cluster));
        if !wrong.is_empty() {
            let wrong = match &wrong[..] {
                [one] => one.clone(),
                all => format!("[{}]", all.join(", ")),
            };
            return Err(Error::Invalid(format!("invalid configuration: {wrong}")));
        }
        if cluster.server.is_empty() {
            let master = environment.text(env::KUBERNETES_MASTER);
            cluster.server = master.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        }
        let mut server = server(&cluster.server)?;
        let inside = inside(&mut server);
        let mut api = Self {
            server,
            token: None,
            basic: inside,
            roots_pem: None,
            client_pair: None,
            insecure: false,
        };
        if api.server.scheme() == "https" {
            api.secure(&cluster, &user)?;
        }
        Ok(api)
    }

    /// What only a server gets that is reached by https.
    fn secure(&mut self, cluster: &Cluster, user: &User) -> Result<(), Error> {
        self.insecure = cluster.insecure;
        let authority = &cluster.authority;
        if self.insecure && !authority.is_empty() {
            let why = "specifying a root certificates file with the insecure flag is not allowed";
            return Err(Error::Invalid(why.to_owned()));
        }
        if !authority.is_empty() {
            self.roots_pem = Some(authority.read()?);
        }
        if !user.certificate.is_empty() {
            let key = String::from_utf8(user.key.read()?).map_err(|_| {
                Error::Invalid("invalid configuration: the client key is not PEM".to_owned())
            })?;
            self.client_pair = Some((user.certificate.read()?, key.into()));
        }
        if let Some(token) = &user.token {
            self.token = Some(token.clone());
            self.basic = None;
        } else if !user.name.is_empty() {
            let password = user.password.clone().unwrap_or_else(|| Secret::from(""));
            self.basic = Some((user.name.clone(), password));
        }
        Ok(())
    }
}

/// The address of a server; plain http where it is a host with a port only.
fn server(text: &str) -> Result<Url, Error> {
    let wrong =
        || Error::Invalid(format!("host must be a URL or a host:port pair: {:?}", shown(text)));
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let mut url = Url::parse(&whole).map_err(|_| wrong())?;
    let is_bare = !text.contains("://");
    if !url.has_host()
        || !matches!(url.scheme(), "http" | "https")
        || is_bare && !matches!(url.path(), "" | "/")
    {
        return Err(wrong());
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// An address as it may be shown: without user and password.
fn shown(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, rest)| rest)
}

/// Takes user and password out of an address.
fn inside(server: &mut Url) -> Option<(String, Secret)> {
    let (name, password) = (server.username().to_owned(), server.password().map(Secret::from));
    if name.is_empty() && password.is_none() {
        return None;
    }
    // An address with a host has room for both, so it can lose them, too.
    let _ = server.set_username("");
    let _ = server.set_password(None);
    Some((name, password.unwrap_or_else(|| Secret::from(""))))
}

/// All files together: the first that has an entry of a name decides.
#[derive(Default)]
struct Merged {
    clusters: BTreeMap<String, Cluster>,
    users: BTreeMap<String, User>,
    contexts: BTreeMap<String, Context>,
    current: String,
}

#[derive(Clone, Default)]
struct Cluster {
    server: String,
    insecure: bool,
    authority: Material,
}

#[derive(Clone, Default)]
struct User {
    certificate: Material,
    key: Material,
    token: Option<Secret>,
    name: String,
    password: Option<Secret>,
}

#[derive(Clone, Default)]
struct Context {
    cluster: String,
    user: String,
}

/// Something in PEM: in a file, or in the kubeconfig itself, which counts more.
#[derive(Clone, Default)]
struct Material {
    file: Option<PathBuf>,
    data: Option<Secret>,
}

impl Material {
    fn new(folder: &Path, file: Option<String>, data: Option<String>) -> Self {
        let file = file.filter(|file| !file.is_empty()).map(|file| folder.join(file));
        Self { file, data: data.filter(|data| !data.is_empty()).map(Secret::from) }
    }

    fn is_empty(&self) -> bool {
        self.file.is_none() && self.data.is_none()
    }

    fn is_double(&self) -> bool {
        self.file.is_some() && self.data.is_some()
    }

    /// Why its file cannot be read, if that is so.
    fn fault(&self, what: &str, owner: &str) -> Option<String> {
        let file = self.file.as_ref()?;
        let error = paths::read(file).err()?;
        let file = file.display();
        Some(format!("unable to read {what} {file} for {owner} due to {}", error.chain()))
    }

    fn read(&self) -> Result<Vec<u8>, Error> {
        let Some(data) = &self.data else {
            return self.file.as_deref().map_or_else(|| Ok(Vec::new()), paths::read);
        };
        let text: String = data.reveal().chars().filter(|it| !matches!(it, '\r' | '\n')).collect();
        STANDARD.decode(text).map_err(|error| {
            Error::Invalid(format!("invalid configuration: certificate or key: {error}"))
        })
    }
}

impl Cluster {
    /// What is wrong with it, in the original's words.
    fn faults(&self, name: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.authority.is_double() {
            wrong.push(format!(
                "certificate-authority-data and certificate-authority are both specified for \
                 {name}. certificate-authority-data will override"
            ));
        }
        wrong.extend(self.authority.fault("certificate-authority", name));
        wrong
    }
}

impl User {
    /// What is wrong with it, in the original's words.
    fn faults(&self, name: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        if !self.certificate.is_empty() {
            if self.certificate.is_double() {
                wrong.push(format!(
                    "client-cert-data and client-cert are both specified for {name}. \
                     client-cert-data will override"
                ));
            }
            if self.key.is_double() {
                wrong.push(format!(
                    "client-key-data and client-key are both specified for {name}; \
                     client-key-data will override"
                ));
            }
            if self.key.is_empty() {
                wrong.push(format!(
                    "client-key-data or client-key must be specified for {name} to use the \
                     clientCert authentication method"
                ));
            }
            wrong.extend(self.certificate.fault("client-cert", name));
            wrong.extend(self.key.fault("client-key", name));
        }
        if self.token.is_some() && (!self.name.is_empty() || self.password.is_some()) {
            wrong.push(format!(
                "more than one authentication method found for {name}; found [token basicAuth], \
                 only one is allowed"
            ));
        }
        wrong
    }
}

impl Merged {
    fn load(environment: &Environment) -> Result<Self, Error> {
        let files: Vec<PathBuf> = match environment.var(env::KUBECONFIG) {
            Some(list) => std::env::split_paths(&list).collect(),
            None => vec![environment.home().join(".kube/config")],
        };
        let mut merged = Self::default();
        for path in files.iter().filter(|path| !path.as_os_str().is_empty()) {
            let during = |error: Error| error.during(format!("loading config file {path:?}"));
            let Some(bytes) = paths::read_if_there(path).map_err(during)? else { continue };
            merged.add(parse(&bytes).map_err(during)?, path);
        }
        Ok(merged)
    }

    fn add(&mut self, file: File, path: &Path) {
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for it in file.clusters.into_iter().flatten() {
            let raw = it.cluster.unwrap_or_default();
            let (file, data) = (raw.certificate_authority, raw.certificate_authority_data);
            let cluster = Cluster {
                server: raw.server.unwrap_or_default(),
                insecure: raw.insecure_skip_tls_verify.unwrap_or_default(),
                authority: Material::new(folder, file, data),
            };
            self.clusters.entry(it.name.unwrap_or_default()).or_insert(cluster);
        }
        for it in file.users.into_iter().flatten() {
            let raw = it.user.unwrap_or_default();
            let secret = |it: Option<String>| it.filter(|it| !it.is_empty()).map(Secret::from);
            let (file, data) = (raw.client_certificate, raw.client_certificate_data);
            let user = User {
                certificate: Material::new(folder, file, data),
                key: Material::new(folder, raw.client_key, raw.client_key_data),
                token: secret(raw.token),
                name: raw.username.unwrap_or_default(),
                password: secret(raw.password),
            };
            self.users.entry(it.name.unwrap_or_default()).or_insert(user);
        }
        for it in file.contexts.into_iter().flatten() {
            let raw = it.context.unwrap_or_default();
            let context = Context {
                cluster: raw.cluster.unwrap_or_default(),
                user: raw.user.unwrap_or_default(),
            };
            self.contexts.entry(it.name.unwrap_or_default()).or_insert(context);
        }
        if self.current.is_empty() {
            self.current = file.current_context.unwrap_or_default();
        }
    }
}

/// The file without its secrets in errors: only the place of what is wrong is told.
fn parse(bytes: &[u8]) -> Result<File, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Error::Invalid("yaml: the file is not UTF-8".to_owned()))?;
    let file: Option<File> = serde_saphyr::from_str(text).map_err(|error| {
        let place = error.location().map(|it| format!(" line {}:", it.line())).unwrap_or_default();
        Error::Invalid(format!("yaml:{place} this is not a kubeconfig"))
    })?;
    Ok(file.unwrap_or_default())
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct File {
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
    current_context: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedCluster {
    name: Option<String>,
    cluster: Option<RawCluster>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RawCluster {
    server: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedUser {
    name: Option<String>,
    user: Option<RawUser>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct RawUser {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    username: Option<String>,
    password: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NamedContext {
    name: Option<String>,
    context: Option<RawContext>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawContext {
    cluster: Option<String>,
    user: Option<String>,
}

#[cfg(test)]
mod tests;
