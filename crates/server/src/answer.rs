//! What is done to every request before it is routed, and to every answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use crate::body::request::{Paced, RequestBody};
use crate::body::{Body, BoxError, Lease, Reserved, held};
use crate::error::{ApiError, Code};
use crate::log::Answered;
use crate::memory::Use;
use crate::peer::Peer;
use crate::progress::Flow;
use crate::response;
use crate::routes::{self, Route};
use crate::store::Count;
use crate::{Handler, Inner, Registry};

/// How much of a refused body is read, in bytes, so that the client sees the answer and not a
/// broken connection.
const DRAINED: usize = 8 * 1024 * 1024;

/// Where the server says that it is well.
const HEALTH: &str = "/healthz";

/// What stays of a request's head: it may be kept while the request waits.
const HEADERS: [HeaderName; 10] = [
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::IF_NONE_MATCH,
    header::IF_RANGE,
    header::ORIGIN,
    header::RANGE,
    HeaderName::from_static("sec-fetch-site"),
];

impl Registry {
    /// Answers one request.
    pub async fn respond<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        let peer = head.extensions.remove::<Arc<Peer>>();
        let inner = &*self.0;
        let asking = peer.as_ref().map(|peer| peer.ask(head.version == http::Version::HTTP_2));
        let kind = kind_of(&head.method, head.uri.path());
        let flow = peer.as_ref().map(|peer| peer.flow(kind));
        let flow = flow.unwrap_or_else(|| Arc::new(Flow::new(kind)));
        let mut answered =
            Answered::begin(&head.method, &head.uri, flow.clone(), inner.log.clone(), asking);
        let mut body = Paced::new(body.map_err(Into::into).boxed_unsync(), flow, inner.limits.idle);
        let mut request = Request::new(());
        *request.method_mut() = head.method;
        *request.uri_mut() = head.uri;
        *request.headers_mut() = slim(head.headers);
        let lease = || Lease::new(&inner.limits.memory, peer.as_ref());
        let done = self.admit_and_dispatch(request, &mut body, peer.as_ref(), &mut answered).await;
        let done = match done {
            Ok(response) => counted(response, inner.limits.patience, lease).await,
            Err(error) => Err(error),
        };
        let mut response = match done {
            Ok(response) => response.map(|body| body.leased(lease)),
            Err(error) => {
                let response = self.refusal(&error);
                drain(&mut body).await;
                response
            }
        };
        response::seal(&mut response);
        answered.set_status(response.status().as_u16());
        response.map(|body| body.answered(answered))
    }

    async fn admit_and_dispatch(
        &self,
        request: Request<()>,
        body: &mut RequestBody,
        peer: Option<&Arc<Peer>>,
        answered: &mut Answered,
    ) -> Result<Response<Body>, ApiError> {
        let path = request.uri().path();
        if path == HEALTH && matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(json_answer(r#"{"status":"ok"}"#));
        }
        self.0.has_room_for(peer)?;
        answered.admit(&self.0.requests);
        if let Some(peer) = peer {
            self.0.hosts.admit(&peer.local, &request)?;
        }
        let client = peer.map(|peer| peer.address.ip());
        let admitted = self.0.access.admit(request.headers(), client).await;
        answered.set_user(admitted.map_err(|code| match code {
            Code::Unauthorized => {
                let detail = Route::parse(path).map(|route| route.access(request.method()));
                ApiError::new(code, detail.unwrap_or_default())
            }
            _ => ApiError::new(code, "too many logins are waiting"),
        })?);
        routes::dispatch(&self.0, request, body).await
    }

    fn refusal(&self, error: &ApiError) -> Response<Body> {
        let mut response = response::error_response(error);
        if error.code == Code::Unauthorized
            && let Some(challenge) = self.0.access.challenge()
        {
            response::set(&mut response, header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl Handler for Registry {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        Ok(self.respond(request).await)
    }
}

impl Inner {
    /// Refuses a request if there are too many; the more there are, the fewer a connection may
    /// have.
    fn has_room_for(&self, peer: Option<&Arc<Peer>>) -> Result<(), ApiError> {
        let (others, most) = (self.requests.load(Ordering::Relaxed), self.limits.most_requests());
        let of_this = peer.map_or(1, |peer| peer.requests());
        let few = match others {
            others if others < most / 2 => usize::MAX,
            others if others < most.saturating_sub(most / 4) => 4,
            others if others < most => 1,
            _ => 0,
        };
        if of_this <= few {
            return Ok(());
        }
        Err(ApiError::new(Code::Busy, "too many requests are being answered"))
    }
}

/// What the memory of a request's body is.
fn kind_of(method: &Method, path: &str) -> Use {
    let manifest = *method == Method::PUT && path.contains("/manifests/");
    if manifest { Use::Manifest } else { Use::Upload }
}

fn slim(mut headers: HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in HEADERS {
        if let header::Entry::Occupied(found) = headers.entry(&name) {
            for value in found.remove_entry_mult().1 {
                kept.append(name.clone(), value);
            }
        }
    }
    kept
}

/// Answers in memory count, too, if they are large.
async fn counted(
    mut response: Response<Body>,
    patience: Duration,
    lease: impl FnOnce() -> Lease,
) -> Result<Response<Body>, ApiError> {
    let reserved = response.extensions_mut().remove::<Reserved>();
    // What was counted while the answer was made is given back when the answer itself counts.
    let _making = response.extensions_mut().remove::<Arc<Count>>();
    let Some(bytes) = response.body().bytes().cloned() else { return Ok(response) };
    let busy = || ApiError::new(Code::Busy, "clients use too much memory at the moment");
    let bytes = held(bytes, reserved, patience, lease).await.ok_or_else(busy)?;
    Ok(response.map(|_| Body::of_bytes(bytes)))
}

fn json_answer(document: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::of_bytes(document));
    *response.status_mut() = StatusCode::OK;
    response::set(&mut response, header::CONTENT_TYPE, "application/json");
    response::set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

async fn drain(body: &mut RequestBody) {
    let mut read = 0;
    let rest = async {
        while read < DRAINED && !body.is_end_stream() {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let came = frame.data_ref().map_or(0, Bytes::len);
                    read = came.saturating_add(read);
                }
                _ => break,
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), rest).await;
}
