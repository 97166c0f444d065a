//! Where the file of another run leads: which registries are reached, and how. Who asks judges by it
//! whether that is as safe as what was asked for.

use std::sync::Arc;

use skopeo_transport::{ImageName, Options};

use crate::Resume;
use crate::destination::Target;
use crate::plan::{Access, PlanFile};
use crate::report::Record;

/// One of the two sides of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Where images come from.
    Source,
    /// Where they go.
    Destination,
}

/// A registry or a place that a file leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reach {
    /// On which side it is.
    pub side: Side,
    /// What it is called: the host of a registry, or the name of a place.
    pub name: String,
    /// How it is reached, where that is not as was asked for.
    pub access: Access,
    /// The host of the registry that these variables of the environment have credentials for.
    pub variables: (String, Vec<String>),
}

impl PlanFile {
    /// Returns the places that images go to, and the registries with an access of their own that
    /// images come from.
    pub fn reaches(&self) -> impl Iterator<Item = Reach> {
        let places = self.plan().places.iter().map(|place| {
            let (side, name) = (Side::Destination, place.place.clone());
            Reach { side, name, access: place.access.clone(), variables: Default::default() }
        });
        let images = self.images().iter().filter(|image| image.access != Access::default());
        places.chain(images.map(|image| {
            let name = registry(&image.source).unwrap_or_else(|| image.source.clone());
            let (side, access) = (Side::Source, image.access.clone());
            Reach { side, name, access, variables: Default::default() }
        }))
    }

    /// Returns the hosts of the registries that images come from and go to.
    pub fn registries(&self) -> impl Iterator<Item = (Side, String)> {
        let sources = self.images().iter().map(|image| image.source.as_str());
        registries(sources, self.plan().places.iter().map(|place| place.place.as_str()))
    }
}

impl Record {
    /// Returns the hosts of the registries that the images come from and go to that are not where
    /// they should be.
    pub fn registries(&self) -> impl Iterator<Item = (Side, String)> {
        let missing = || self.images.iter().filter(|image| image.outcome.is_missing());
        let sources = missing().filter_map(|image| image.source.as_deref());
        registries(sources, missing().map(|image| image.place.as_str()))
    }
}

impl Resume {
    /// Returns the registries and places of its images, as the file says that they are reached which
    /// was named as the source. `source` and `destination` are what it takes to reach all others.
    #[must_use]
    pub fn reaches(&self, source: &Arc<Options>, destination: &Options) -> Vec<Reach> {
        let input = &self.input;
        let variables = |host: &str| input.variables(host).map(str::to_owned).collect();
        let hosts = self.hosts().into_iter().map(|host| Reach {
            side: Side::Source,
            access: Access::new(&input.reading(source, &host), source),
            variables: (host.clone(), variables(&host)),
            name: host,
        });
        let places = self.places().into_iter().filter_map(|place| place.parse::<Target>().ok());
        let places = places.map(|place| {
            let host = place.registry().unwrap_or_default();
            Reach {
                side: Side::Destination,
                name: place.to_string(),
                access: Access::new(&input.reaching(destination, &place), destination),
                variables: (host.clone(), variables(&host)),
            }
        });
        hosts.chain(places).collect()
    }
}

fn registries<'a>(
    sources: impl Iterator<Item = &'a str>,
    places: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = (Side, String)> {
    let sources = sources.filter_map(registry).map(|host| (Side::Source, host));
    let places = places.filter_map(|place| place.parse::<Target>().ok()?.registry());
    sources.chain(places.map(|host| (Side::Destination, host)))
}

/// Returns the host of the registry that an image is in; `None` for other places.
fn registry(source: &str) -> Option<String> {
    let name = ImageName::parse(source).ok()?;
    let reference = name.docker_reference().filter(|_| name.is_in_registry())?;
    Some(reference.name.domain().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Entry, Outcome};

    #[test]
    fn registries_of_what_is_missing_are_told() {
        let image = |source: &str, place: &str, outcome| Entry {
            source: Some(source.to_owned()),
            place: place.to_owned(),
            outcome,
            ..Entry::default()
        };
        let images = vec![
            image("docker://a.example/x:1", "docker://m.example/p", Outcome::Failed),
            image("docker://b.example/x:1", "docker://n.example", Outcome::Copied),
            image("dir:/x", "dir:/y", Outcome::NotBegun),
            image("docker://x:1", "nonsense", Outcome::Unfinished),
        ];
        let record = Record { images, ..Record::default() };
        let hosts: Vec<_> = record.registries().collect();
        let expected = [
            (Side::Source, "a.example"),
            (Side::Source, "docker.io"),
            (Side::Destination, "m.example"),
        ];
        assert_eq!(hosts, expected.map(|(side, host)| (side, host.to_owned())));
    }

    #[test]
    fn a_plan_tells_how_it_reaches_what() {
        let text = r#"{"version":1,"command":"sync","ok":true,"plan":{"platforms":[],"flags":{},
            "places":[{"place":"docker://m.example/p","tls_verify":false}]},"results":[
            {"type":"plan","outcome":"new","source":"docker://a.example/x:1",
             "destination":"docker://m.example/p/x:1","place":"docker://m.example/p",
             "lists":"system","cert_dir":"/c"},
            {"type":"plan","outcome":"new","source":"docker://b.example/x:1",
             "destination":"docker://m.example/p/y:1","place":"docker://m.example/p",
             "lists":"system"}]}"#;
        let plan = PlanFile::parse(text.as_bytes()).unwrap();
        let told: Vec<_> = plan
            .reaches()
            .map(|it| (it.side, it.name, it.access.tls_verify, it.access.cert_dir))
            .collect();
        let folder = Some(std::path::PathBuf::from("/c"));
        assert_eq!(
            told,
            [
                (Side::Destination, "docker://m.example/p".to_owned(), Some(false), None),
                (Side::Source, "a.example".to_owned(), None, folder),
            ]
        );
        let hosts: Vec<_> = plan.registries().map(|(_, host)| host).collect();
        assert_eq!(hosts, ["a.example", "b.example", "m.example"]);
    }
}
