//! What stands before the registry: recording, tokens, faults.

use std::future::pending;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use skopeo_server::{Body, Handler};

use super::counted::{count_answer, count_request};
use super::fault::{End, Fault, What, broken, cut, spoil};
use super::json_response;
use super::kept::Kept;
use super::lie::Lie;
use super::openshift::OpenShift;
use super::seen::{Record, SeenRequest};
use super::token::Realm;
use crate::rest::Working;

/// What all handlers of one registry share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Another one after each restart.
    pub(super) registry: Mutex<skopeo_server::Registry>,
    /// The same folder without any access control: for the test itself, and the object store.
    pub(super) direct: skopeo_server::Registry,
    pub(super) realm: Option<Realm>,
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    pub(super) faults: Mutex<Vec<Fault>>,
    pub(super) seen: Mutex<Vec<Arc<Record>>>,
    /// Where the object store listens, `host:port`.
    pub(super) object_store: String,
    /// The signatures that it keeps, if it does.
    pub(super) kept: Option<Kept>,
    /// The API of `OpenShift` beside it, if it has one.
    pub(super) openshift: Option<OpenShift>,
    /// The challenge of a 401 that is a fault, where there is no realm.
    pub(super) basic: bool,
    /// What is being answered.
    pub(super) working: Working,
}

/// The registry's own address.
#[derive(Clone, Debug)]
pub(super) struct Front(pub(super) Arc<Shared>);

/// The host that blobs are redirected to.
#[derive(Clone, Debug)]
pub(super) struct ObjectStore(pub(super) Arc<Shared>);

impl Handler for Front {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let shared = &self.0;
        let record = shared.record(&request, false);
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let body = count_request(body, &record);
        let fault = shared.strike(&head.method, &target);
        // Who will never be answered is not worked for.
        let _working = (!matches!(fault, Some(What::Silence))).then(|| shared.working.begin());
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host.or_else(|| head.uri.authority().map(|authority| authority.as_str()));
        let realm = format!("{}://{}/token", shared.scheme, host.unwrap_or_default());
        let request = Request::from_parts(head, body);
        let challenge = shared.challenge(request.method(), &target, &realm);
        let mut response = match &fault {
            None => shared.honest(request, &target, &realm).await?,
            Some(what) => shared.faulty(what, request, &target, &realm, challenge).await?,
        };
        if let Some(what) = &fault {
            response = match what {
                What::Lie(lie) => lie.tell(response).await,
                what => spoil(what, response),
            };
        }
        if shared.kept.is_some() {
            let yes = header::HeaderValue::from_static("1");
            response.headers_mut().insert("x-registry-supports-signatures", yes);
        }
        if let Ok(mut seen) = record.seen.lock() {
            seen.status = response.status().as_u16();
        }
        Ok(count_answer(response, &record))
    }
}

impl Handler for ObjectStore {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let _working = self.0.working.begin();
        let record = self.0.record(&request, true);
        let leaked = request.headers().contains_key(header::AUTHORIZATION);
        let response = if leaked {
            // As object stores do with signed URLs.
            json_response(400, &json!({"Code": "InvalidArgument"}))
        } else {
            self.0.direct.respond(request).await
        };
        if let Ok(mut seen) = record.seen.lock() {
            seen.status = response.status().as_u16();
        }
        Ok(count_answer(response, &record))
    }
}

impl Shared {
    fn record<B>(&self, request: &Request<B>, object_store: bool) -> Arc<Record> {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let seen = SeenRequest {
            method: request.method().to_string(),
            target: target.to_owned(),
            headers: request.headers().clone(),
            version: request.version(),
            object_store,
            status: 0,
            received: 0,
            sent: 0,
        };
        let record = Arc::new(Record {
            seen: Mutex::new(seen),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        });
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        record
    }

    fn registry(&self) -> skopeo_server::Registry {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn strike(&self, method: &Method, target: &str) -> Option<What> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let mut faults = faults.iter_mut();
        faults.find_map(|fault| fault.strikes(method, target).then(|| fault.what.clone()))
    }

    fn challenge(&self, method: &Method, target: &str, realm: &str) -> Option<String> {
        match &self.realm {
            Some(tokens) => tokens.admit(method, target, &HeaderMap::new(), realm).err(),
            None => self.basic.then(|| "Basic realm=\"skopeo\"".to_owned()),
        }
    }

    /// The answer without any fault.
    async fn honest(
        &self,
        request: Request<Body>,
        target: &str,
        realm: &str,
    ) -> io::Result<Response<Body>> {
        if let Some(kept) = &self.kept
            && request.uri().path().starts_with("/extensions/")
        {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let path = head.uri.path();
            let more = self.openshift.as_ref().map(|it| it.extension(path)).unwrap_or_default();
            return Ok(kept.answer(&head.method, path, &body, &more));
        }
        if let Some(openshift) = &self.openshift
            && request.uri().path().starts_with("/oapi/")
        {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let beside = (self.kept.as_ref(), &self.direct);
            return Ok(openshift
                .answer(&head.method, head.uri.path(), &head.headers, &body, beside)
                .await);
        }
        let Some(tokens) = &self.realm else { return Ok(self.registry().respond(request).await) };
        if request.uri().path() == "/token" {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            return Ok(tokens.issue(&head.method, &head.uri, &head.headers, &body));
        }
        match tokens.admit(request.method(), target, request.headers(), realm) {
            Ok(()) => Ok(self.registry().respond(request).await),
            Err(challenge) => {
                read_some(request.into_body(), u64::MAX).await;
                Ok(unauthorized(&challenge))
            }
        }
    }

    /// The path of a manifest by its digest, where it is one by its tag.
    async fn by_digest(&self, target: &str) -> Option<String> {
        let (repository, reference) = target.rsplit_once('/')?;
        if reference.contains(':') {
            return None;
        }
        let head = Request::builder().method(Method::HEAD).uri(target).body(Body::empty()).ok()?;
        let response = self.direct.respond(head).await;
        let digest = response.headers().get("docker-content-digest")?.to_str().ok()?;
        Some(format!("{repository}/{digest}"))
    }

    /// The answer that a fault makes of it, as far as it is about the request.
    async fn faulty(
        &self,
        what: &What,
        mut request: Request<Body>,
        target: &str,
        realm: &str,
        challenge: Option<String>,
    ) -> io::Result<Response<Body>> {
        match what {
            What::HangUp => Err(broken()),
            What::Silence => pending().await,
            What::CutRequest(bytes) => {
                let (head, body) = request.into_parts();
                let body = Body::of_body(cut(body, *bytes, End::Break));
                let _ = self.honest(Request::from_parts(head, body), target, realm).await;
                Err(broken())
            }
            What::DoneButCut => {
                let _ = self.honest(request, target, realm).await;
                Err(broken())
            }
            What::TakesImage { cut } => {
                if let Some(whole) = self.by_digest(target).await {
                    *request.uri_mut() = whole.parse().map_err(io::Error::other)?;
                }
                let target = request.uri().path().to_owned();
                let response = self.honest(request, &target, realm).await?;
                if *cut { Err(broken()) } else { Ok(response) }
            }
            What::Status { code, retry_after, body, read } => {
                read_some(request.into_body(), *read).await;
                let mut response = match (code, challenge) {
                    (401, Some(challenge)) => unauthorized(&challenge),
                    _ => error_response(*code, body.as_ref()),
                };
                if let Some(value) = retry_after.as_ref().and_then(|value| value.parse().ok()) {
                    response.headers_mut().insert(header::RETRY_AFTER, value);
                }
                Ok(response)
            }
            What::Lie(Lie::AnswerOf(path)) => {
                *request.uri_mut() = path.parse().map_err(io::Error::other)?;
                self.honest(request, path, realm).await
            }
            What::IgnoreRange => {
                request.headers_mut().remove(header::RANGE);
                self.honest(request, target, realm).await
            }
            What::RefuseType(media_type) => {
                let given = request.headers().get(header::CONTENT_TYPE);
                if given.is_some_and(|given| given.as_bytes() == media_type.as_str().as_bytes()) {
                    read_some(request.into_body(), u64::MAX).await;
                    let code = ("MANIFEST_INVALID".to_owned(), "manifest invalid".to_owned());
                    return Ok(error_response(400, Some(&code)));
                }
                self.honest(request, target, realm).await
            }
            What::Redirect => {
                let response = self.honest(request, target, realm).await?;
                if !response.status().is_success() {
                    return Ok(response);
                }
                let location = format!("{}://{}{target}", self.scheme, self.object_store);
                let mut response = Response::new(Body::empty());
                *response.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
                let location = location.parse().map_err(io::Error::other)?;
                response.headers_mut().insert(header::LOCATION, location);
                Ok(response)
            }
            _ => self.honest(request, target, realm).await,
        }
    }
}

/// Reads so many bytes of a body and forgets them.
async fn read_some(mut body: Body, bytes: u64) {
    let mut read = 0;
    while read < bytes {
        match body.frame().await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len) as u64,
            _ => break,
        }
    }
}

fn unauthorized(challenge: &str) -> Response<Body> {
    let mut response = error_response(401, None);
    if let Ok(value) = challenge.parse() {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

fn error_response(status: u16, code: Option<&(String, String)>) -> Response<Body> {
    let (code, message) = match (code, status) {
        (Some((code, message)), _) => (code.as_str(), message.as_str()),
        (None, 401) => ("UNAUTHORIZED", "authentication required"),
        (None, 403) => ("DENIED", "requested access to the resource is denied"),
        (None, 404) => ("NAME_UNKNOWN", "repository name not known to registry"),
        (None, 429) => ("TOOMANYREQUESTS", "too many requests"),
        (None, 503) => ("UNAVAILABLE", "service unavailable"),
        (None, _) => ("UNKNOWN", "unknown error"),
    };
    json_response(status, &json!({"errors": [{"code": code, "message": message}]}))
}
