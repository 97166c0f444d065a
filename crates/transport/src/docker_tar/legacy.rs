//! What Docker before 1.10 reads: a folder for each layer with its parent's name in it, and
//! `repositories`, which says what is the top layer of a tag.

use std::collections::BTreeMap;

use serde_json::value::{RawValue, to_raw_value};
use skopeo_archive::Entry;
use skopeo_image::{Digest, Reference, go_json};

use super::SavingError;

/// The file that tells where tags lead to.
pub(crate) const REPOSITORIES: &str = "repositories";

/// The content of `repositories`: for each repository and tag the folder of its top layer.
pub(crate) type Repositories = BTreeMap<String, BTreeMap<String, String>>;

/// What of the image's config is written for its top layer.
const OF_THE_CONFIG: [&str; 7] =
    ["architecture", "config", "container", "container_config", "created", "docker_version", "os"];

/// The folder of a layer: its name, and the members in it.
pub(crate) type Folder = (String, [Entry; 3]);

/// Makes the folders for layers, root first, each with its digest and its path in the archive.
///
/// The names are arbitrary but must not repeat: they are made of all that the layer stands on, in
/// the way of the original, so that the same image has the same names.
pub(crate) fn folders(
    layers: &[(Digest, String)],
    config: &[u8],
) -> Result<Vec<Folder>, SavingError> {
    let mut folders: Vec<Folder> = Vec::with_capacity(layers.len());
    let mut chain: Option<Digest> = None;
    for (at, (digest, path)) in layers.iter().enumerate() {
        let mut fields: BTreeMap<&str, Box<RawValue>> = BTreeMap::new();
        let text = |value: &str| to_raw_value(value).map_err(SavingError::OwnConfig);
        if let Some((parent, _)) = folders.last() {
            fields.insert("parent", text(parent)?);
        }
        if layers.len().checked_sub(1) == Some(at) {
            let config: Option<BTreeMap<String, Box<RawValue>>> =
                serde_json::from_slice(config).map_err(SavingError::OwnConfig)?;
            let mut config = config.unwrap_or_default();
            for name in OF_THE_CONFIG {
                let value = config.remove(name).unwrap_or_else(|| RawValue::NULL.to_owned());
                fields.insert(name, value);
            }
        }
        let this = match &chain {
            None => digest.clone(),
            Some(below) => Digest::sha256(format!("{below} {digest}").as_bytes()),
        };
        fields.insert("layer_id", text(this.as_str())?);
        let id = Digest::sha256(&go_json::to_vec(&fields).map_err(SavingError::OwnConfig)?);
        let id = id.hex().to_owned();
        fields.remove("layer_id");
        fields.insert("id", text(&id)?);
        let json = go_json::to_vec(&fields).map_err(SavingError::OwnConfig)?;
        let file = |name: &str, bytes| Entry::File { name: format!("{id}/{name}"), bytes };
        let entries = [
            Entry::Link { name: format!("{id}/layer.tar"), target: format!("../{path}") },
            file("VERSION", b"1.0".to_vec()),
            file("json", json),
        ];
        folders.push((id, entries));
        chain = Some(this);
    }
    Ok(folders)
}

/// Makes a tag lead to the top layer of an image.
pub(crate) fn tag(repositories: &mut Repositories, reference: &Reference, top: &str) {
    if let Some(tag) = &reference.tag {
        let repository = repositories.entry(reference.name.to_string()).or_default();
        repository.insert(tag.clone(), top.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names are those that skopeo 1.9.3 gave.
    #[test]
    fn names_folders_as_the_original() {
        let digest = |hex: &str| format!("sha256:{hex}").parse::<Digest>().unwrap();
        let lower = "6c9e5f16eac6d663c9f0f8b88789f726cb944cd356a24c5802e14cdd18121ec5";
        let upper = "c7fda684dfde533bbde8a76edbfbe87afca721b3a41d971911ac08f53be116b9";
        let config = br#"{"architecture": "amd64", "os": "linux",
            "created": "2020-01-01T00:00:00Z", "config": {"Env": ["A=<b>&"], "Cmd": ["sh"]}}"#;
        let layers = [(digest(lower), "l.tar".to_owned()), (digest(upper), "u.tar".to_owned())];
        let folders = folders(&layers, config).unwrap();
        let names: Vec<&str> = folders.iter().map(|(name, _)| name.as_str()).collect();
        let (first, second) = (
            "2700ab20a641570e4d331902d505af9b36c99934973657648d181c65ea0ee8fc",
            "e6d35febff47b27ca3a40bb45b5419261abb8f821a38da0f70f2d39f3722bea0",
        );
        assert_eq!(names, [first, second]);
        let Entry::File { bytes, .. } = &folders[1].1[2] else { panic!("json is a file") };
        let expected = format!(
            r#"{{"architecture":"amd64","config":{{"Env":["A=\u003cb\u003e\u0026"],"Cmd":["sh"]}},"container":null,"container_config":null,"created":"2020-01-01T00:00:00Z","docker_version":null,"id":"{second}","os":"linux","parent":"{first}"}}"#
        );
        assert_eq!(String::from_utf8_lossy(bytes), expected);

        let mut repositories = Repositories::new();
        tag(&mut repositories, &"busybox:1".parse().unwrap(), names[1]);
        assert_eq!(repositories["docker.io/library/busybox"]["1"], second);
    }

    #[test]
    fn refuses_configs_that_are_none() {
        let layer = [(Digest::sha256(b""), "x.tar".to_owned())];
        for config in ["", "[]", "7"] {
            assert!(folders(&layer, config.as_bytes()).is_err(), "{config}");
        }
        assert!(folders(&[], b"[]").unwrap().is_empty());
    }
}
