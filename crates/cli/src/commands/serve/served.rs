//! What `serve` is asked to serve.

use std::io;
use std::path::Path;

use anyhow::Result;
use fs_err as fs;
use skopeo_image::ErrorClass;
use skopeo_transport::CollectionKind;

use crate::exit::Classed;

/// Deeper than this nobody looks for an image in a folder.
const MAX_DEPTH: usize = 32;

/// What is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// A folder of layouts.
    Layouts,
    /// A layout in a bucket of an object store.
    Bucket(String),
    /// Images of another format, as they lie.
    Images {
        /// Of which: what it may be, in the order in which it is tried.
        kinds: Vec<CollectionKind>,
        /// Where.
        path: String,
    },
}

impl Served {
    /// Looks at what the argument names.
    ///
    /// # Errors
    /// If there is nothing, unless it is to be made.
    pub(super) fn of(argument: &str, create: bool) -> Result<Self> {
        let bucket = argument.strip_prefix("oci:").unwrap_or(argument);
        if skopeo_transport::is_bucket(bucket) {
            return Ok(Self::Bucket(bucket.to_owned()));
        }
        for kind in [CollectionKind::OciArchive, CollectionKind::DockerArchive, CollectionKind::Dir]
        {
            let path = argument.strip_prefix(kind.as_str()).and_then(|it| it.strip_prefix(':'));
            if let Some(path) = path.filter(|_| !Path::new(argument).exists()) {
                return Ok(Self::Images { kinds: vec![kind], path: path.to_owned() });
            }
        }
        skopeo_config::links::check(Path::new(argument))?;
        let found = match fs::metadata(argument) {
            Ok(found) => found,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && create
                    && transport_of(argument).is_none() =>
            {
                return Ok(Self::Layouts);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(missing(argument).into());
            }
            Err(error) => return Err(error.into()),
        };
        let path = argument.to_owned();
        if !found.is_dir() {
            // What newer versions of Docker save is both; the layout has the manifests as they were.
            let kinds = vec![CollectionKind::OciArchive, CollectionKind::DockerArchive];
            return Ok(Self::Images { kinds, path });
        }
        match holds(Path::new(argument)) {
            Some(CollectionKind::Dir) => {
                Ok(Self::Images { kinds: vec![CollectionKind::Dir], path })
            }
            _ => Ok(Self::Layouts),
        }
    }
}

/// The transport that the argument names, as if it were an image.
fn transport_of(argument: &str) -> Option<&str> {
    let (transport, _) = argument.split_once(':')?;
    skopeo_transport::find(transport).map(|transport| transport.name)
}

fn missing(argument: &str) -> Classed {
    let hint = match transport_of(argument) {
        Some("oci") => "leave out oci: and use the path of the folder".to_owned(),
        Some(transport) => format!("serve serves folders and archives, not {transport}:"),
        None => "use --create to create the folder".to_owned(),
    };
    Classed {
        class: ErrorClass::NotFound,
        sentence: format!("serving {argument}: the folder does not exist"),
        hint: Some(hint),
    }
}

/// Of which format the images below a folder are; layouts win, as they can be written to.
fn holds(folder: &Path) -> Option<CollectionKind> {
    let mut found = None;
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        if folder.join("oci-layout").exists() {
            return Some(CollectionKind::Oci);
        }
        if folder.join("manifest.json").is_file() && folder.join("version").is_file() {
            found = Some(CollectionKind::Dir);
            continue;
        }
        if depth == MAX_DEPTH {
            continue;
        }
        // What may not be looked into is told of when layouts are looked for.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push((entry.path(), depth.saturating_add(1)));
            }
        }
    }
    found
}
