//! A registry, requests and an observer that remembers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use skopeo_config::{Config, Environment, Overrides};
use skopeo_copy::{Request, Session};
use skopeo_image::Platform;
use skopeo_sync::report::{Entry, Outcome};
use skopeo_sync::{
    Error, Images, Input, Observer, Selection, SourceKind, SyncEvent, SyncReport, SyncRequest, sync,
};
use skopeo_testkit::image::Image;
use skopeo_testkit::registry::Registry;
use skopeo_transport::{Connections, Options};
use skopeo_trust::Policy;

/// Options of a machine where nothing is configured but that registries speak HTTP.
pub(crate) fn options(root: &Path) -> Options {
    let environment = Environment::fixed([("PATH", "/usr/bin")], root.join("home"), 1000, root);
    let config = Config::with_environment(Overrides::default(), environment);
    let mut options = Options::new(Arc::new(config), Connections::new());
    options.registry.tls_verify = Some(false);
    options
}

/// A registry with an image under each of these names.
pub(crate) fn registry(names: &[&str]) -> Registry {
    let registry = Registry::start();
    for (seed, name) in (0..).zip(names) {
        Image::new(seed).push(&registry, name);
    }
    registry
}

/// A selection of all images of a repository for one place.
pub(crate) fn repository(registry: &Registry, name: &str, place: &str) -> Selection {
    Selection::new(Input::One {
        kind: SourceKind::Docker,
        source: format!("{}/{name}", registry.host()),
        places: vec![place.parse().unwrap()],
    })
}

pub(crate) fn request(options: &Options, images: Images) -> SyncRequest {
    let copy = Request::new(Platform::new("linux", "amd64", ""));
    let source = Arc::new(options.clone());
    SyncRequest::new(images, source, options.clone(), Policy::insecure(), copy)
}

pub(crate) async fn run(request: &SyncRequest, observer: Arc<dyn Observer>) -> SyncReport {
    let session: Session = skopeo_sync::session(None, None, skopeo_copy::Rates::default());
    sync(&session, request, observer).await
}

/// What has come of which destination: the last part of its name, and the outcome.
pub(crate) fn outcomes(images: &[Entry]) -> Vec<(&str, Outcome)> {
    let outcome = |entry: &'_ Entry| entry.outcome;
    images
        .iter()
        .map(|it| (it.destination.rsplit('/').next().unwrap_or_default(), outcome(it)))
        .collect()
}

/// Remembers what it is told, in a word each, and stops the run if it is to.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) told: Mutex<Vec<String>>,
    pub(crate) stops_at: Option<&'static str>,
}

impl Observer for Witness {
    fn observe(&self, event: &SyncEvent<'_>) -> Result<(), Error> {
        let word = match event {
            SyncEvent::Found(tasks) => format!("found {}", tasks.len()),
            SyncEvent::Chosen { chosen, .. } => {
                format!(
                    "chosen {} of {}",
                    chosen.kept.len(),
                    chosen.kept.len() + chosen.dropped.len()
                )
            }
            SyncEvent::Done { task, entry } => format!("{task} {}", entry.outcome.as_str()),
            SyncEvent::Published(_) => "published".to_owned(),
            SyncEvent::Lost { task, .. } => format!("{task} lost"),
            SyncEvent::Deleted(deletion) => format!("{:?}", deletion.outcome),
            SyncEvent::Estimated(found) => format!("estimated {}", found.images.len()),
            _ => return Ok(()),
        };
        let stops = self.stops_at.is_some_and(|at| word.starts_with(at));
        self.told.lock().unwrap().push(word);
        if stops { Err(Error::refused("enough")) } else { Ok(()) }
    }
}

impl Witness {
    pub(crate) fn told(&self) -> Vec<String> {
        let mut told = self.told.lock().unwrap().clone();
        told.sort();
        told
    }
}
