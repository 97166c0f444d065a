//! registries.d: where the signatures of an image lie beside its registry.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use skopeo_image::Reference;
use tracing::debug;
use url::Url;

use crate::{Environment, Error, paths};

/// All files of registries.d, merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureStores {
    default: Option<Namespace>,
    namespaces: BTreeMap<String, Namespace>,
    built_in: PathBuf,
}

/// What a lookaside store is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading signatures.
    Read,
    /// Writing or deleting them: `lookaside-staging` counts first.
    Write,
}

/// One section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Namespace {
    lookaside: Option<String>,
    lookaside_staging: Option<String>,
    sigstore: Option<String>,
    sigstore_staging: Option<String>,
    use_sigstore_attachments: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    default_docker: Option<Namespace>,
    docker: Option<BTreeMap<String, Option<Namespace>>>,
}

impl SignatureStores {
    /// Reads the folder given by `--registries.d`, else the folders of the system, of root or of
    /// this user in it, and the user's own. Of two files with one name the user's counts.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not valid; two files speak about the same namespace.
    pub fn load(environment: &Environment, explicit: Option<&Path>) -> Result<Self, Error> {
        let folders = explicit.map_or_else(
            || paths::drop_in_folders(environment, "registries", ""),
            |folder| vec![folder.to_owned()],
        );
        let built_in = if environment.uid() == 0 {
            PathBuf::from("/var/lib/containers/sigstore")
        } else {
            environment.home().join(".local/share/containers/sigstore")
        };
        let mut merged = Self { default: None, namespaces: BTreeMap::new(), built_in };
        let mut origins = BTreeMap::new();
        for path in paths::drop_ins(&folders, "yaml")? {
            debug!("reading the locations of signatures from {}", path.display());
            let Some(bytes) = paths::read_if_there(&path)? else { continue };
            merged.take(parse(&bytes, &path)?, &path, &mut origins)?;
        }
        Ok(merged)
    }

    /// `origins`: the file each namespace is from; the default's under the empty name.
    fn take(
        &mut self,
        file: File,
        path: &Path,
        origins: &mut BTreeMap<String, PathBuf>,
    ) -> Result<(), Error> {
        let twice = |what: &str, first: &Path| {
            Error::Invalid(format!(
                "Error parsing signature storage configuration: {what} defined both in {first:?} \
                 and {path:?}"
            ))
        };
        if let Some(default) = file.default_docker {
            if let Some(first) = origins.insert(String::new(), path.to_owned()) {
                return Err(twice("\"default-docker\"", &first));
            }
            self.default = Some(default);
        }
        for (name, namespace) in file.docker.unwrap_or_default() {
            if self.namespaces.insert(name.clone(), namespace.unwrap_or_default()).is_some() {
                let first = origins.get(&name).map_or_else(|| Path::new(""), PathBuf::as_path);
                return Err(twice(&format!("\"docker\" namespace {name:?}"), first));
            }
            origins.insert(name, path.to_owned());
        }
        Ok(())
    }

    /// Returns the folder (`file:`) or web address under which the signatures of an image's
    /// repository lie; those of one manifest are at `@ALGORITHM=HEX/signature-N` appended to its
    /// path.
    ///
    /// # Errors
    ///
    /// What is configured is no URL.
    pub fn lookaside(&self, reference: &Reference, access: Access) -> Result<Url, Error> {
        let configured = self.first(reference, |namespace| namespace.store(access));
        let mut url = match configured {
            Some(text) => Url::parse(text).map_err(|error| {
                Error::Invalid(format!("Invalid signature storage URL {text}: {error}"))
            })?,
            None => Url::from_directory_path(&self.built_in).map_err(|()| {
                let path = self.built_in.display();
                Error::Invalid(format!("Invalid signature storage URL {path}: not absolute"))
            })?,
        };
        if url.cannot_be_a_base() {
            return Err(Error::Invalid(format!("Invalid signature storage URL {url}: no path")));
        }
        // The trailing slash of the base is not doubled; servers and folders take both for one.
        let path = format!("{}/{}", url.path().trim_end_matches('/'), reference.name.path());
        url.set_path(&path);
        Ok(url)
    }

    /// Returns whether sigstore signatures are kept as images beside the image.
    #[must_use]
    pub fn use_sigstore_attachments(&self, reference: &Reference) -> bool {
        self.first(reference, |namespace| namespace.use_sigstore_attachments).unwrap_or(false)
    }

    /// The first answer of the sections for a reference, from the image itself through its
    /// namespaces to the default. Each key is looked up on its own.
    fn first<'a, T>(
        &'a self,
        reference: &Reference,
        ask: impl Fn(&'a Namespace) -> Option<T>,
    ) -> Option<T> {
        scopes(reference)
            .iter()
            .filter_map(|scope| self.namespaces.get(scope))
            .chain(&self.default)
            .find_map(ask)
    }
}

impl Namespace {
    fn store(&self, access: Access) -> Option<&str> {
        let staging = match access {
            Access::Write => [&self.lookaside_staging, &self.sigstore_staging],
            Access::Read => [&None, &None],
        };
        staging
            .into_iter()
            .chain([&self.lookaside, &self.sigstore])
            .find_map(|store| store.as_deref().filter(|store| !store.is_empty()))
    }
}

/// The image, its repository, the namespaces around it, its host, and `*.` of the host's domains.
fn scopes(reference: &Reference) -> Vec<String> {
    let name = reference.name.to_string();
    let mut scopes = vec![reference.to_string()];
    let mut scope = name.as_str();
    loop {
        scopes.push(scope.to_owned());
        match scope.rsplit_once('/') {
            Some((parent, _)) => scope = parent,
            None => break,
        }
    }
    let mut host = scope.split(':').next().unwrap_or_default();
    while let Some((_, parent)) = host.split_once('.') {
        scopes.push(format!("*.{parent}"));
        host = parent;
    }
    scopes
}

fn parse(bytes: &[u8], path: &Path) -> Result<File, Error> {
    let invalid = |reason: String| Error::Yaml { path: path.to_owned(), reason };
    let text = std::str::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    let file: Option<File> =
        serde_saphyr::from_str(text).map_err(|error| invalid(error.to_string()))?;
    Ok(file.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Machine;

    const FOLDER: &str = "etc/containers/registries.d";

    fn stores(machine: &Machine) -> Result<SignatureStores, Error> {
        SignatureStores::load(&machine.environment(), None)
    }

    fn store(machine: &Machine, name: &str, access: Access) -> String {
        let reference = Reference::parse_normalized(name).unwrap();
        match stores(machine).and_then(|stores| stores.lookaside(&reference, access)) {
            Ok(url) => url.as_str().replace(machine.root().to_str().unwrap(), ""),
            Err(error) => machine.plain(&error),
        }
    }

    #[test]
    fn each_key_is_looked_up_on_its_own() {
        let yaml = "\
            default-docker:\n  lookaside-staging: file:///default-staging/\n\
            docker:\n  \
              h.io:\n    lookaside: https://host/sigs\n    use-sigstore-attachments: true\n  \
              h.io/ns:\n    lookaside-staging: file:///ns-staging\n    unknown: 1\n  \
              h.io/ns/x:\n    sigstore: http://old/\n    use-sigstore-attachments: false\n  \
              h.io/ns/x:tag:\n    sigstore-staging: file:///tag\n  \
              '*.wild.io':\n    lookaside: file:///wild\n  \
              bad.io:\n    lookaside: no url\n  \
              empty.io:\n";
        let machine = Machine::new().file(&format!("{FOLDER}/a.yaml"), yaml);
        use Access::{Read, Write};
        for (name, access, expected) in [
            ("h.io/y:1", Read, "https://host/sigs/y"),
            ("h.io/y:1", Write, "https://host/sigs/y"), // no staging in the section, but lookaside
            ("h.io/ns/y:1", Read, "https://host/sigs/ns/y"),
            ("h.io/ns/y:1", Write, "file:///ns-staging/ns/y"),
            ("h.io/ns/x:1", Read, "http://old/ns/x"),
            ("h.io/ns/x:1", Write, "http://old/ns/x"),
            ("h.io/ns/x:tag", Read, "http://old/ns/x"),
            ("h.io/ns/x:tag", Write, "file:///tag/ns/x"),
            ("a.wild.io:5000/x:1", Read, "file:///wild/x"),
            ("empty.io/x:1", Write, "file:///default-staging/x"),
            ("other.io/x:1", Read, "file:///home/.local/share/containers/sigstore/x"),
            ("other.io/x:1", Write, "file:///default-staging/x"),
            (
                "bad.io/x:1",
                Read,
                "Invalid signature storage URL no url: relative URL without a base",
            ),
        ] {
            assert_eq!(store(&machine, name, access), expected, "{name} {access:?}");
        }
        for (name, expected) in
            [("h.io/y:1", true), ("h.io/ns/y:1", true), ("h.io/ns/x:1", false), ("o.io/x:1", false)]
        {
            let reference = Reference::parse_normalized(name).unwrap();
            let stores = stores(&machine).unwrap();
            assert_eq!(stores.use_sigstore_attachments(&reference), expected, "{name}");
        }
    }

    #[test]
    fn which_folder_and_which_files() {
        let lookaside = |place: &str| format!("default-docker:\n  lookaside: file:///{place}\n");
        let system = || {
            Machine::new()
                .file(&format!("{FOLDER}/a.yaml"), &lookaside("etc"))
                .file(&format!("{FOLDER}/b.yml"), &lookaside("not-read"))
                .file(&format!("{FOLDER}/empty.yaml"), "# nothing\n")
        };
        assert_eq!(store(&system(), "h.io/x:1", Access::Read), "file:///etc/x");
        let user = system().file("home/.config/containers/registries.d/a.yaml", &lookaside("user"));
        assert_eq!(store(&user, "h.io/x:1", Access::Read), "file:///user/x");
        let moved = system()
            .file("xdg/containers/registries.d/a.yaml", &lookaside("moved"))
            .var_path("XDG_CONFIG_HOME", "xdg");
        assert_eq!(store(&moved, "h.io/x:1", Access::Read), "file:///moved/x");
        let root = Machine::new().rootful();
        let built_in = "file:///var/lib/containers/sigstore/x";
        assert_eq!(store(&root, "h.io/x:1", Access::Read), built_in);

        // All folders are read, and what a stronger one has under the same name replaces a file.
        let section = |host: &str, place: &str| {
            format!("docker:\n  {host}:\n    lookaside: file:///{place}\n")
        };
        let all = |machine: Machine| {
            ["usr/share/containers", "etc/containers"].into_iter().fold(machine, |machine, base| {
                let short = base.split('/').next().unwrap();
                ["registries.d", "registries.rootful.d", "registries.rootless.d/1000"]
                    .into_iter()
                    .fold(machine, |machine, folder| {
                        let host = format!("{}.{short}", folder.replace(['.', '/'], "-"));
                        let machine = machine
                            .file(&format!("{base}/{folder}/{host}.yaml"), &section(&host, &host));
                        let place = format!("{short}/{folder}");
                        machine
                            .file(&format!("{base}/{folder}/same.yaml"), &section("s.io", &place))
                    })
            })
        };
        let (user, root) = (all(Machine::new()), all(Machine::new().rootful()));
        let there = |machine: &Machine, host: &str| {
            store(machine, &format!("{host}/x:1"), Access::Read) == format!("file:///{host}/x")
        };
        for (host, of_user, of_root) in [
            ("registries-d.usr", true, true),
            ("registries-d.etc", true, true),
            ("registries-rootful-d.etc", false, true),
            ("registries-rootless-d-1000.usr", true, false),
        ] {
            assert_eq!((there(&user, host), there(&root, host)), (of_user, of_root), "{host}");
        }
        let same = |machine| store(machine, "s.io/x:1", Access::Read);
        assert_eq!(same(&user), "file:///etc/registries.rootless.d/1000/x");
        assert_eq!(same(&root), "file:///etc/registries.rootful.d/x");

        let mut flag = all(system());
        flag.write("flag/a.yaml", &lookaside("flag"));
        flag.overrides.registries_d = Some(flag.path("flag"));
        let reference = Reference::parse_normalized("h.io/x:1").unwrap();
        let config = flag.config();
        let url = config.signatures().unwrap().lookaside(&reference, Access::Read).unwrap();
        assert_eq!(url.as_str(), "file:///flag/x");
    }

    #[test]
    fn what_is_said_twice_is_an_error() {
        let twice = "Error parsing signature storage configuration: ";
        for (text, expected) in [
            (
                "default-docker: {}",
                format!(
                    "{twice}\"default-docker\" defined both in \"/{FOLDER}/a.yaml\" and \
                 \"/{FOLDER}/b.yaml\""
                ),
            ),
            (
                "docker:\n  h.io: {}",
                format!(
                    "{twice}\"docker\" namespace \"h.io\" defined both in \"/{FOLDER}/a.yaml\" and \
                 \"/{FOLDER}/b.yaml\""
                ),
            ),
        ] {
            let machine = Machine::new()
                .file(&format!("{FOLDER}/a.yaml"), text)
                .file(&format!("{FOLDER}/b.yaml"), text);
            let error = machine.plain(&stores(&machine).unwrap_err());
            assert_eq!(error.replace(machine.root().to_str().unwrap(), ""), expected);
        }
        let machine = Machine::new().file(&format!("{FOLDER}/a.yaml"), "docker: [");
        let error = machine.plain(&stores(&machine).unwrap_err());
        assert!(error.starts_with(&format!("parsing /{FOLDER}/a.yaml: ")), "{error}");
    }
}
