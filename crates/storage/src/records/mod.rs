//! The lists of a store: layers.json, images.json and their like.
//!
//! They are written as Go writes them, and what we do not know of a record stays in it.

mod container;
mod image;
mod layer;
mod mount;

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use skopeo_image::go_json::{self, Budget, Raw};

use crate::error::{Error, Result};
use crate::files::{self, Durability};

pub(crate) use container::ContainerRecord;
pub(crate) use image::ImageRecord;
pub(crate) use layer::{LayerRecord, flags};
pub(crate) use mount::MountRecord;

/// More than the store of any machine has: bytes and values of a list.
const BUDGET: Budget = Budget::new(512 << 20, 1 << 23);

/// What is known of a kind of records.
pub(crate) trait Known: Serialize + DeserializeOwned {
    /// The names of its members.
    const MEMBERS: &'static [&'static str];
}

/// A record, and what it says that we do not know.
#[derive(Clone, Debug)]
pub(crate) struct Record<T> {
    pub(crate) known: T,
    unknown: Vec<(String, Raw)>,
}

impl<T> Record<T> {
    pub(crate) fn new(known: T) -> Self {
        Self { known, unknown: Vec::new() }
    }
}

/// Reads a list. A file that is missing or empty is an empty list, and so is `null`.
pub(crate) fn load<T: Known>(path: &Path) -> Result<Vec<Record<T>>> {
    match files::read(path)? {
        Some(bytes) if !bytes.is_empty() => {
            parse(bytes).map_err(|source| Error::Records { path: path.to_owned(), source })
        }
        Some(_) | None => Ok(Vec::new()),
    }
}

/// Replaces a list.
pub(crate) fn save<'a, T: Known + 'a>(
    path: &Path,
    records: impl Iterator<Item = &'a Record<T>>,
    durability: Durability,
) -> Result<()> {
    let bytes =
        encode(records).map_err(|source| Error::Encode { path: path.to_owned(), source })?;
    if let Some(folder) = path.parent() {
        files::make_folders(folder, 0o700)?;
    }
    files::replace(path, &bytes, 0o600, durability)
}

pub(crate) fn parse<T: Known>(bytes: Vec<u8>) -> Result<Vec<Record<T>>, serde_json::Error> {
    let mut budget = BUDGET;
    let document = Raw::parse(bytes, &mut budget)?;
    if document.is_null() {
        return Ok(Vec::new());
    }
    let Some(items) = document.items(&budget)? else {
        return Err(serde::de::Error::custom("it is not a list"));
    };
    let records = items.into_iter().filter(|item| !item.is_null()).map(|item| {
        let members = item.members(&budget)?;
        let unknown = members
            .into_iter()
            .filter(|(key, _)| !T::MEMBERS.iter().any(|name| go_json::is_name(name, key)))
            .map(|(key, value)| (key.into_owned(), value))
            .collect();
        Ok(Record { known: item.read()?, unknown })
    });
    records.collect()
}

pub(crate) fn encode<'a, T: Known + 'a>(
    records: impl Iterator<Item = &'a Record<T>>,
) -> Result<Vec<u8>, serde_json::Error> {
    let mut out = vec![b'['];
    for (number, record) in records.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend(go_json::to_vec(&record.known)?);
        for (key, value) in &record.unknown {
            // Behind what is known, which is never nothing.
            out.pop();
            out.push(b',');
            out.extend(go_json::to_vec(key)?);
            out.push(b':');
            go_json::write_compact(value.as_str(), &mut out);
            out.push(b'}');
        }
    }
    out.push(b']');
    Ok(out)
}

/// What Go leaves out of a record.
pub(crate) mod empty {
    /// Whether a number is zero.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(crate) fn number(value: &i64) -> bool {
        *value == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What podman and skopeo wrote stays as it is, byte for byte.
    #[test]
    fn what_others_wrote_is_written_again() {
        let layers = r#"[{"id":"9d16cba9fb961d1aafec9542f2bf7cb64acfc55245f9e4eb5abecd4cdc38d749","created":"2023-06-14T20:48:58.52183157Z","compressed-diff-digest":"sha256:9d16cba9fb961d1aafec9542f2bf7cb64acfc55245f9e4eb5abecd4cdc38d749","compressed-size":5884928,"diff-digest":"sha256:9d16cba9fb961d1aafec9542f2bf7cb64acfc55245f9e4eb5abecd4cdc38d749","diff-size":5884928,"uidset":[0],"gidset":[0,8,42]},{"id":"b","names":["x\u003cy\u003e\u0026"],"parent":"9d16cba9fb961d1aafec9542f2bf7cb64acfc55245f9e4eb5abecd4cdc38d749","metadata":"m","mountlabel":"l","created":"2023-06-14T20:48:58Z","compressed-size":3,"toc-digest":"sha256:aa","diff-size":-1,"compression":2,"flags":{"expected-layer-diffid":"sha256:bb","incomplete":true},"uidmap":[{"container_id":0,"host_id":1000,"size":1}],"gidmap":[{"container_id":0,"host_id":1000,"size":65536}],"big-data-names":["n"]}]"#;
        let records = parse::<LayerRecord>(layers.into()).unwrap();
        assert_eq!(records.len(), 2);
        assert_eq!(String::from_utf8(encode(records.iter()).unwrap()).unwrap(), layers);

        let images = r#"[{"id":"c","digest":"sha256:9d16cba9fb961d1aafec9542f2bf7cb64acfc55245f9e4eb5abecd4cdc38d749","names":["docker.io/library/x:1"],"names-history":["docker.io/library/x:1","docker.io/library/x:0"],"layer":"b","mapped-layers":["d"],"metadata":"{\"signatures-sizes\":{}}","big-data-names":["manifest","empty"],"big-data-sizes":{"empty":0,"manifest":428},"big-data-digests":{"manifest":"sha256:9d16cba9fb961d1aafec9542f2bf7cb64acfc55245f9e4eb5abecd4cdc38d749"},"created":"0001-01-01T00:00:00Z","flags":{"a":null,"b":[1,2.5,"x"]}}]"#;
        let records = parse::<ImageRecord>(images.into()).unwrap();
        assert_eq!(String::from_utf8(encode(records.iter()).unwrap()).unwrap(), images);

        let mounts = r#"[{"id":"a","path":"/x","count":2}]"#;
        let records = parse::<MountRecord>(mounts.into()).unwrap();
        assert_eq!(String::from_utf8(encode(records.iter()).unwrap()).unwrap(), mounts);
    }

    #[test]
    fn what_is_not_known_is_kept() {
        let layers = r#" [ {"new-1": { "a" : [ 1.0, "<" ] }, "id":"a","created":"2023-06-14T20:48:58Z", "new-2":null} ] "#;
        let records = parse::<LayerRecord>(layers.into()).unwrap();
        assert_eq!(
            String::from_utf8(encode(records.iter()).unwrap()).unwrap(),
            r#"[{"id":"a","created":"2023-06-14T20:48:58Z","new-1":{"a":[1.0,"\u003c"]},"new-2":null}]"#
        );
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for text in ["{}", "[1]", "[{\"id\":3}]", "[", "x", "[[]]", "[{\"created\":\"now\"}]"] {
            assert!(parse::<LayerRecord>(text.into()).is_err(), "{text}");
        }
        for text in ["null", "[]", "[null]"] {
            assert_eq!(parse::<LayerRecord>(text.into()).unwrap().len(), 0, "{text}");
        }
        assert!(parse::<ImageRecord>("[".repeat(1 << 20).into()).is_err());
    }
}
