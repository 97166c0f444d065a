//! Signatures of images that a registry keeps itself: an extension of OpenShift's registry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use skopeo_image::{Digest, go_json};

use crate::call::Call;
use crate::error::Error;
use crate::repository::Repository;

/// The most that all signatures of an image may have together, in bytes.
const MAX_SIZE: usize = 4 << 20;

/// The only version that there is.
const VERSION: i64 = 2;

/// A simple signature.
const ATOMIC: &str = "atomic";

/// A signature that a registry keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSignature {
    /// `DIGEST@NAME`, where the name is anything that no other has.
    pub name: String,
    /// The simple signature itself.
    pub content: Bytes,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    signatures: Vec<Kept>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    #[serde(rename = "schemaVersion")]
    version: i64,
    name: String,
    #[serde(rename = "type")]
    kind: String,
    content: String,
}

impl Repository {
    /// Returns the signatures that the registry itself keeps of a manifest. Those of kinds that are
    /// not known are left out.
    ///
    /// # Errors
    /// Whatever keeps the registry from answering; a list that is none.
    pub async fn kept_signatures(&self, digest: &Digest) -> Result<Vec<KeptSignature>, Error> {
        let doing = || format!("downloading signatures for {digest} in {}", self.name());
        let call = self.signatures_call(Method::GET, digest).scopes(self.to_read());
        let (status, headers, bytes) =
            self.shared().fetch(&call, MAX_SIZE).await.map_err(|error| error.doing(doing()))?;
        if status != StatusCode::OK {
            return Err(self.shared().refusal_of(status, &headers, &bytes).doing(doing()));
        }
        let broken = |why: String| Error::Protocol(why).doing(doing());
        let list: List = go_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        let known =
            list.signatures.into_iter().filter(|it| it.version == VERSION && it.kind == ATOMIC);
        known
            .map(|it| {
                let content = STANDARD.decode(&it.content);
                let content = content.map_err(|error| broken(error.to_string()))?;
                Ok(KeptSignature { name: it.name, content: content.into() })
            })
            .collect()
    }

    /// Has the registry keep one more signature of a manifest.
    ///
    /// # Errors
    /// If it does not.
    pub async fn keep_signature(
        &self,
        digest: &Digest,
        signature: &KeptSignature,
    ) -> Result<(), Error> {
        let doing = || format!("uploading signature to {digest} in {}", self.name());
        let kept = Kept {
            version: VERSION,
            name: signature.name.clone(),
            kind: ATOMIC.to_owned(),
            content: STANDARD.encode(&signature.content),
        };
        let body = go_json::to_vec(&kept);
        let body = body.map_err(|error| Error::Protocol(error.to_string()).doing(doing()))?;
        let call = self
            .signatures_call(Method::PUT, digest)
            .scopes(self.to_write())
            .header(CONTENT_TYPE, "application/json")
            .body(body.into());
        let response = self.shared().send(&call).await.map_err(|error| error.doing(doing()))?;
        if response.status() != StatusCode::CREATED {
            return Err(self.shared().refusal(response).await.doing(doing()));
        }
        Ok(())
    }

    fn signatures_call(&self, method: Method, digest: &Digest) -> Call<'static> {
        Call::new(method, format!("/extensions/v2/{}/signatures/{digest}", self.path))
    }
}
