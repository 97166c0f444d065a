//! Uploads that nobody has ended: they have no names, but they take room and cost money.

use std::time::{Duration, SystemTime};

use ::http::header::AUTHORIZATION;
use ::http::{HeaderValue, Method, Request};
use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use object_store::aws::AwsAuthorizer;
use object_store::client::HttpRequestBody;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use serde::Deserialize;
use tracing::info;

use crate::error::Error;
use crate::open::Own;
use crate::store::Store;

/// Until it is so old, an upload may belong to one who is still at it.
pub const OLD: Duration = Duration::from_secs(24 * 3600);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 8 << 20;

/// How many lists of uploads are read, of a thousand each.
const MAX_LISTS: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Uploads {
    is_truncated: bool,
    next_key_marker: String,
    next_upload_id_marker: String,
    upload: Vec<Begun>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    key: String,
    upload_id: String,
    initiated: String,
}

impl Store {
    /// Removes what is left over of uploads that began more than `age` ago: what has no name yet,
    /// and what is in the folder of those that have only one for the time being. Gives back what
    /// each was called. Azure removes what has no name itself, after a week.
    ///
    /// # Errors
    /// If it cannot be listed, or not be removed.
    pub async fn remove_leftovers(
        &self,
        folder: &str,
        age: Duration,
    ) -> Result<Vec<String>, Error> {
        let mut removed = Vec::new();
        let is_old = |written: SystemTime| written.elapsed().is_ok_and(|it| it > age);
        let there: Vec<_> = self.list(folder).try_collect().await?;
        let old = there.into_iter().filter(|object| is_old(object.written));
        let old: Vec<String> = old.map(|object| object.key).collect();
        self.delete(&old).await?;
        removed.extend(old.iter().map(|key| self.name_of(key)));
        for begun in self.begun().await? {
            let time = begun.initiated.parse::<jiff::Timestamp>().map(SystemTime::from);
            // Who may have begun a moment ago, for all that is known, is left alone.
            if !time.is_ok_and(is_old) {
                continue;
            }
            let Ok(path) = Path::parse(&begun.key) else { continue };
            let ended = match &self.0.ways.own {
                Own::S3(store, ..) => store.abort_multipart(&path, &begun.upload_id).await,
                Own::Google(store, _) => store.abort_multipart(&path, &begun.upload_id).await,
                Own::Azure => Ok(()),
            };
            match ended {
                Ok(()) => removed.push(format!("an upload of {}", begun.key)),
                // Somebody else was quicker.
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(self.error("ending an upload below", "", &error)),
            }
        }
        for name in &removed {
            info!("Removed {name}, which was left over");
        }
        Ok(removed)
    }

    /// All uploads below the place that have been begun and not ended.
    async fn begun(&self) -> Result<Vec<Begun>, Error> {
        let address = match &self.0.ways.own {
            Own::S3(_, address, _) | Own::Google(_, address) => address,
            Own::Azure => return Ok(Vec::new()),
        };
        let mut prefix = self.0.place.prefix().to_owned();
        if !prefix.is_empty() {
            prefix.push('/');
        }
        let mut found = Vec::new();
        let (mut key, mut id) = (String::new(), String::new());
        for _ in 0..MAX_LISTS {
            let mut query = format!("{address}?uploads=");
            for (name, value) in
                [("prefix", &prefix), ("key-marker", &key), ("upload-id-marker", &id)]
            {
                if !value.is_empty() {
                    query.push_str(&format!("&{name}={}", encoded(value)));
                }
            }
            let Some(text) = self.ask(&query).await? else { break };
            let Ok(list) = quick_xml::de::from_str::<Uploads>(&text) else { break };
            found.extend(list.upload.into_iter().filter(|it| it.key.starts_with(&prefix)));
            if !list.is_truncated || list.next_key_marker.is_empty() {
                break;
            }
            (key, id) = (list.next_key_marker, list.next_upload_id_marker);
        }
        Ok(found)
    }

    /// What a store answers to a request of its own kind; `None` if it does not know it.
    async fn ask(&self, address: &str) -> Result<Option<String>, Error> {
        let doing = format!("listing the uploads below {}", self.0.place);
        let cloud = self.0.place.cloud();
        let of = |error: &object_store::Error| Error::of(doing.clone(), cloud, error);
        let other = |error: Box<dyn std::error::Error + Send + Sync>| {
            of(&object_store::Error::Generic { store: "uploads", source: error })
        };
        let request = Request::builder().method(Method::GET).uri(address);
        let request = request.body(HttpRequestBody::empty());
        let mut request = request.map_err(|error| other(error.into()))?;
        if !self.0.ways.anonymous {
            match &self.0.ways.own {
                Own::S3(store, _, region) => {
                    let credential = store.credentials().get_credential().await;
                    let credential = credential.map_err(|error| of(&error))?;
                    let signer = AwsAuthorizer::new(&credential, "s3", region);
                    signer.try_authorize(&mut request, None).map_err(|error| of(&error))?;
                }
                Own::Google(store, _) => {
                    let credential = store.credentials().get_credential().await;
                    let credential = credential.map_err(|error| of(&error))?;
                    let value = HeaderValue::from_str(&format!("Bearer {}", credential.bearer));
                    if let Ok(mut value) = value {
                        value.set_sensitive(true);
                        request.headers_mut().insert(AUTHORIZATION, value);
                    }
                }
                Own::Azure => {}
            }
        }
        let answer = self.0.connector.client().execute(request).await;
        let answer = answer.map_err(|error| other(error.into()))?;
        if !answer.status().is_success() {
            // Who may write need not be allowed to list uploads, and not all stores can.
            tracing::debug!("{doing}: {}", answer.status());
            return Ok(None);
        }
        let body = http_body_util::Limited::new(answer.into_body(), MAX_ANSWER);
        let body = body.collect().await.map_err(other)?.to_bytes();
        Ok(Some(String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Percent-encoded as signatures want it.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_uploads_are_read() {
        let text = "<?xml version=\"1.0\"?><ListMultipartUploadsResult><Bucket>b</Bucket>\
            <KeyMarker/><NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>i</NextUploadIdMarker>\
            <IsTruncated>true</IsTruncated><Upload><Key>a/b</Key><UploadId>1</UploadId>\
            <Initiator><ID>x</ID></Initiator><Initiated>2026-11-30T01:02:03.000Z</Initiated>\
            </Upload><Upload><Key>a/c</Key><UploadId>2</UploadId>\
            <Initiated>2026-11-30T01:02:03Z</Initiated></Upload></ListMultipartUploadsResult>";
        let list: Uploads = quick_xml::de::from_str(text).unwrap();
        assert_eq!((list.upload.len(), list.is_truncated), (2, true));
        assert_eq!(
            (list.next_key_marker.as_str(), list.next_upload_id_marker.as_str()),
            ("k", "i")
        );
        assert!(list.upload.iter().all(|it| it.initiated.parse::<jiff::Timestamp>().is_ok()));
        let none = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>\
            </ListMultipartUploadsResult>";
        assert!(quick_xml::de::from_str::<Uploads>(none).unwrap().upload.is_empty());
    }

    #[test]
    fn what_is_asked_is_encoded() {
        assert_eq!(encoded("a/b+c ~-._"), "a%2Fb%2Bc%20~-._");
    }
}
