//! Signatures that a registry keeps itself: what OpenShift's does below `/extensions/v2/`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::{Method, Response};
use serde_json::{Value, json};
use skopeo_server::Body;

use super::json_response;

/// The signatures by the path of what they are of.
#[derive(Debug, Default)]
pub(super) struct Kept(Mutex<HashMap<String, Vec<Value>>>);

impl Kept {
    /// Those of a manifest, by the path of them.
    pub(super) fn of(&self, path: &str) -> Vec<Value> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(path).cloned().unwrap_or_default()
    }

    /// Lists those of a manifest, and `more` that are known of it; or takes one more.
    pub(super) fn answer(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
        more: &[Value],
    ) -> Response<Body> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = all.entry(path.to_owned()).or_default();
        if *method == Method::GET {
            let all: Vec<&Value> = there.iter().chain(more).collect();
            return json_response(200, &json!({"signatures": all}));
        }
        let digest = path.rsplit('/').next().unwrap_or_default();
        match serde_json::from_slice::<Value>(body) {
            Ok(signature) if *method == Method::PUT => {
                let name = signature["name"].as_str().unwrap_or_default();
                let is_right = signature["schemaVersion"] == 2
                    && signature["type"] == "atomic"
                    && name
                        .strip_prefix(digest)
                        .is_some_and(|rest| rest.len() == 33 && rest.starts_with('@'));
                if !is_right || there.iter().any(|it| it["name"] == signature["name"]) {
                    return json_response(400, &json!({"errors": [{"code": "SIGNATURE_INVALID"}]}));
                }
                there.push(signature);
                json_response(201, &json!({}))
            }
            _ => json_response(400, &json!({"errors": [{"code": "SIGNATURE_INVALID"}]})),
        }
    }
}
