//! The part of `OpenShift`'s API that speaks of images, over the images of the registry itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use skopeo_server::Body;

use super::json_response;
use super::kept::Kept;

/// The host by which the cluster knows its registry, and nobody else.
const INSIDE: &str = "172.30.0.1:5000";

/// The API, and the signatures that it keeps by the digests of their images.
#[derive(Debug)]
pub(super) struct OpenShift {
    /// The only token that is good; empty if nobody has to show one.
    token: String,
    kept: Mutex<HashMap<String, Vec<Value>>>,
}

impl OpenShift {
    pub(super) fn new(token: String) -> Self {
        Self { token, kept: Mutex::default() }
    }

    /// The answer to a request below `/oapi/`.
    pub(super) async fn answer(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: &[u8],
        (extension, registry): (Option<&Kept>, &skopeo_server::Registry),
    ) -> Response<Body> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !self.token.is_empty() && shown != Some(&format!("Bearer {}", self.token)) {
            return status(401, "Unauthorized");
        }
        if (method, path) == (&Method::POST, "/oapi/v1/imagesignatures") {
            return self.keep(body);
        }
        let asked = path.strip_prefix("/oapi/v1/namespaces/").filter(|_| *method == Method::GET);
        match asked.unwrap_or_default().split('/').collect::<Vec<_>>()[..] {
            [namespace, "imagestreams", stream] => {
                let repository = format!("{namespace}/{stream}");
                match tags(registry, &repository).await {
                    Some(tags) => json_response(
                        200,
                        &json!({
                            "kind": "ImageStream",
                            "status": {"dockerImageRepository": INSIDE, "tags": tags},
                        }),
                    ),
                    None => status(404, &format!("imagestreams \"{stream}\" not found")),
                }
            }
            [namespace, "imagestreamimages", image] => {
                let (stream, digest) = image.split_once('@').unwrap_or_default();
                let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let mut signatures = kept.get(digest).cloned().unwrap_or_default();
                let path = format!("/extensions/v2/{namespace}/{stream}/signatures/{digest}");
                for it in extension.map(|it| it.of(&path)).unwrap_or_default() {
                    let (name, content) = (&it["name"], &it["content"]);
                    let metadata = json!({"name": name});
                    signatures
                        .push(json!({"metadata": metadata, "type": "atomic", "content": content}));
                }
                let image = json!({"metadata": {"name": digest}, "signatures": signatures});
                json_response(200, &json!({"kind": "ImageStreamImage", "image": image}))
            }
            _ => status(404, "the server could not find the requested resource"),
        }
    }

    /// The signatures of an image as the registry's extension tells them, by the path there.
    pub(super) fn extension(&self, path: &str) -> Vec<Value> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let there = kept.get(path.rsplit('/').next().unwrap_or_default());
        let told = |it: &Value| {
            let (name, content) = (&it["metadata"]["name"], &it["content"]);
            json!({"schemaVersion": 2, "name": name, "type": "atomic", "content": content})
        };
        there.into_iter().flatten().map(told).collect()
    }

    fn keep(&self, body: &[u8]) -> Response<Body> {
        let signature: Value = serde_json::from_slice(body).unwrap_or_default();
        let name = signature["metadata"]["name"].as_str().unwrap_or_default();
        let is_right = signature["kind"] == "ImageSignature"
            && signature["apiVersion"] == "v1"
            && signature["type"] == "atomic";
        let Some((digest, own)) = name.split_once('@').filter(|_| is_right) else {
            return status(422, "ImageSignature is invalid");
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let there = kept.entry(digest.to_owned()).or_default();
        if own.len() != 32 || there.iter().any(|it| it["metadata"]["name"] == name) {
            return status(409, &format!("imagesignatures \"{name}\" already exists"));
        }
        there.push(signature.clone());
        json_response(201, &signature)
    }
}

/// The tags of a stream with what they lead to; none if there is no such stream.
async fn tags(registry: &skopeo_server::Registry, repository: &str) -> Option<Vec<Value>> {
    let request = |method: Method, target: String| {
        let request = Request::builder().method(method).uri(target);
        request.header(header::ACCEPT, "*/*").body(Body::empty()).ok()
    };
    let listing = request(Method::GET, format!("/v2/{repository}/tags/list"))?;
    let listed = registry.respond(listing).await.into_body().collect().await.ok()?.to_bytes();
    let listed: Value = serde_json::from_slice(&listed).ok()?;
    let mut found = Vec::new();
    for tag in listed["tags"].as_array()? {
        let tag = tag.as_str()?;
        let head = request(Method::HEAD, format!("/v2/{repository}/manifests/{tag}"))?;
        let head = registry.respond(head).await;
        let digest = head.headers().get("docker-content-digest")?.to_str().ok()?;
        let at = format!("{INSIDE}/{repository}@{digest}");
        let items = json!([{"dockerImageReference": at, "image": digest}]);
        found.push(json!({"tag": tag, "items": items}));
    }
    Some(found)
}

/// What the API says of anything but success.
fn status(code: u16, message: &str) -> Response<Body> {
    let document = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code,
    });
    json_response(code, &document)
}
