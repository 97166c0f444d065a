//! Registries, folders and archives in memory, with faults, and what goes there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use skopeo_config::{Config, Environment, Overrides};
use skopeo_copy::Request;
use skopeo_image::{Digest, MediaType, Platform, RawManifest, Which};
use skopeo_testkit::memory::{self, Builder, FakeDestination, FakeSource, ImageKind};
use skopeo_transport::{
    Collection, CollectionKind, Connections, Destination, Error, Held, ImageName, LayoutError,
    NameError, Options, Probe, Source, join,
};

use crate::destination::Target;
use crate::task::{SyncTask, Targets, TaskId, number};
use crate::transports::Transports;
use crate::within;

/// Options of a machine where nothing is configured.
pub(crate) fn options() -> Options {
    let none = Path::new("/nowhere");
    // A user without it would get a folder made.
    let vars = [("PATH", "/usr/bin"), ("XDG_RUNTIME_DIR", "/")];
    let environment = Environment::fixed(vars, none.to_owned(), 1000, none);
    let config = Config::with_environment(Overrides::default(), environment);
    Options::new(Arc::new(config), Connections::new())
}

/// All images that there are, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Under each name, whatever was put there, the last last.
    images: BTreeMap<String, Vec<Image>>,
    /// What registries list beside tags.
    junk: BTreeMap<String, Vec<String>>,
    /// The archives that have their names.
    finished: BTreeSet<String>,
    /// What goes wrong, by what is asked, one after the other.
    faults: BTreeMap<String, Vec<Error>>,
    /// What was asked, in order.
    asked: Vec<String>,
}

#[derive(Clone, Debug)]
enum Image {
    Pushed(Arc<FakeSource>),
    /// Of a place that gives its images names only when it is finished, perhaps.
    Written(Box<FakeDestination>, Option<String>),
}

impl Image {
    /// The manifest that the name leads to.
    fn top(&self, finished: &BTreeSet<String>) -> Option<RawManifest> {
        match self {
            Self::Pushed(source) => source.manifests.get(&Which::Top).cloned(),
            Self::Written(_, Some(archive)) if !finished.contains(archive) => None,
            Self::Written(destination, _) => destination.state().committed.clone(),
        }
    }
}

impl State {
    /// The image that a name leads to, with its digest.
    fn find(&self, name: &str) -> Option<(&Image, Digest)> {
        let images = self.images.get(name)?.iter().rev();
        let top = |image: &Image| image.top(&self.finished)?.digest().ok();
        images.filter_map(|image| Some((image, top(image)?))).next()
    }

    /// The names that lead to images, and begin so.
    fn names(&self, prefix: &str) -> impl Iterator<Item = &String> {
        self.images.keys().filter(move |it| it.starts_with(prefix) && self.find(it).is_some())
    }
}

impl Memory {
    /// Puts an image under a name; which, the seed says.
    pub(crate) fn push(&self, name: &str, seed: u8) -> Digest {
        let mut builder = Builder::new();
        let layer = (&MediaType::OCI_LAYER_GZIP, memory::gzip(&memory::tar(seed, 3000)));
        let manifest = builder.image(ImageKind::Oci, &[layer]);
        let mut source = builder.top(&manifest);
        source.name = ImageName::parse(name).unwrap();
        let name = source.name.to_string();
        self.state().images.entry(name).or_default().push(Image::Pushed(Arc::new(source)));
        manifest.digest().unwrap()
    }

    /// Has a registry list this among the tags of a repository.
    pub(crate) fn list(&self, repository: &str, tag: &str) {
        self.state().junk.entry(repository.to_owned()).or_default().push(tag.to_owned());
    }

    /// Has this go wrong where exactly that is asked, once.
    pub(crate) fn fault(&self, asked: impl Into<String>, error: Error) {
        self.state().faults.entry(asked.into()).or_default().push(error);
    }

    /// What was asked whose words begin so.
    pub(crate) fn asked(&self, what: &str) -> Vec<String> {
        let state = self.state();
        state.asked.iter().filter(|asked| asked.starts_with(what)).cloned().collect()
    }

    /// The digest that a name leads to.
    pub(crate) fn digest(&self, name: &str) -> Option<Digest> {
        Some(self.state().find(name)?.1)
    }

    /// The names that lead to images, and begin so.
    pub(crate) fn names(&self, prefix: &str) -> Vec<String> {
        self.state().names(prefix).cloned().collect()
    }

    /// How often blobs of a pushed image were read.
    pub(crate) fn read(&self, name: &str) -> usize {
        match self.state().images[name].last() {
            Some(Image::Pushed(source)) => source.asked("blob"),
            other => panic!("{name}: {other:?}"),
        }
    }

    /// A collection of images.
    pub(crate) fn place(&self, place: &str) -> Arc<dyn Collection> {
        let (place, memory) = (place.parse().unwrap(), self.clone());
        Arc::new(InMemory { place, memory })
    }

    /// The same, as a run has it.
    pub(crate) fn places(&self, places: &[&str]) -> Targets {
        let opened = |place: &&str| (place.parse().unwrap(), options(), self.place(place));
        Targets::opened(places.iter().map(opened).collect())
    }

    /// Notes what is asked, and lets it go wrong if it is to.
    fn ask(&self, what: String) -> Result<(), Error> {
        let mut state = self.state();
        let fault = state.faults.get_mut(&what).filter(|all| !all.is_empty());
        let fault = fault.map(|all| all.remove(0));
        state.asked.push(what);
        fault.map_or(Ok(()), Err)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

#[async_trait]
impl Transports for Memory {
    async fn open(&self, name: &ImageName, _options: &Options) -> Result<Box<dyn Source>, Error> {
        let text = name.to_string();
        self.ask(format!("open {text}"))?;
        let state = self.state();
        let image = match text.split_once('@') {
            None => state.find(&text),
            Some((repository, digest)) => {
                let mut of_it = state.names(repository).filter_map(|name| state.find(name));
                of_it.find(|(_, found)| found.as_str() == digest)
            }
        };
        let source = match image.ok_or_else(|| Error::from(LayoutError::NoSuchReference(text)))?.0 {
            Image::Pushed(source) => source.clone(),
            Image::Written(written, _) => {
                let state = written.state();
                let (manifests, blobs) = (state.manifests.clone(), state.blobs.clone());
                let (name, blobs) = (written.name.clone(), blobs.into_iter().collect());
                Arc::new(FakeSource { name, manifests, blobs, ..FakeSource::default() })
            }
        };
        Ok(source.open(name.clone()))
    }

    async fn collection(
        &self,
        place: &Target,
        _options: &Options,
    ) -> Result<Box<dyn Collection>, Error> {
        Ok(Box::new(InMemory { place: place.clone(), memory: self.clone() }))
    }

    async fn held(&self, place: &Target, _options: &Options) -> Result<Vec<Held>, Error> {
        self.ask(format!("held {place}"))?;
        let state = self.state();
        let names = state.names(place.kind.as_str()).map(|name| ImageName::parse(name).unwrap());
        let held =
            names.filter_map(|name| Some(Held { label: within::label(place, &name)?, name }));
        Ok(held.collect())
    }

    async fn repositories(&self, host: &str, _options: &Options) -> Result<Vec<String>, Error> {
        self.ask(format!("repositories {host}"))?;
        let state = self.state();
        let prefix = format!("docker://{host}/");
        let paths = state.names(&prefix).chain(state.junk.keys());
        let paths = paths.filter_map(|name| name.strip_prefix(&prefix));
        let paths = paths.map(|path| path.split(':').next().unwrap().to_owned());
        Ok(paths.collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn tags(&self, name: &ImageName, options: &Options) -> Result<Vec<String>, Error> {
        Ok(self.valid_tags(name, options).await?.0)
    }

    async fn valid_tags(
        &self,
        name: &ImageName,
        _options: &Options,
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        let repository = format!("docker://{}", name.docker_reference().unwrap().name);
        self.ask(format!("tags {repository}"))?;
        let state = self.state();
        let tags = state.names(&repository).filter_map(|name| name.strip_prefix(&repository));
        let tags = tags.filter_map(|tag| tag.strip_prefix(':')).map(str::to_owned).collect();
        Ok((tags, state.junk.get(&repository).cloned().unwrap_or_default()))
    }
}

/// A collection of images.
#[derive(Debug)]
struct InMemory {
    place: Target,
    memory: Memory,
}

impl InMemory {
    fn destination(&self, name: &ImageName) -> FakeDestination {
        let present = self.memory.digest(&name.to_string());
        FakeDestination { name: name.clone(), from: None, present, ..FakeDestination::new() }
    }
}

#[async_trait]
impl Collection for InMemory {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        let Target { kind, place } = &self.place;
        match kind {
            CollectionKind::Docker => ImageName::parse(&format!("docker://{}", join(place, label))),
            // Parsed, a folder would have to be there.
            CollectionKind::Dir => {
                let real = skopeo_transport::collection(*kind, place, &options()).now_or_never();
                real.unwrap().unwrap().name(label)
            }
            kind => ImageName::parse(&format!("{kind}:{place}:{label}")),
        }
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        self.memory.ask(format!("create {name}"))?;
        let destination = self.destination(name);
        let archive = self.place.kind.is_archive().then(|| self.place.to_string());
        let written = Image::Written(Box::new(destination.clone()), archive);
        self.memory.state().images.entry(name.to_string()).or_default().push(written);
        Ok(destination.door())
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        self.memory.ask(format!("look {name}"))?;
        Ok(Box::new(self.destination(name)))
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let any = self.name(&format!("{repository}:x"))?.to_string();
        let prefix = any.strip_suffix('x').unwrap();
        self.memory.ask(format!("tags {}", prefix.trim_end_matches(':')))?;
        let names = self.memory.names(prefix);
        Ok(names.iter().map(|name| name[prefix.len()..].to_owned()).collect())
    }

    async fn digest(&self, name: &ImageName) -> Result<Option<Digest>, Error> {
        self.memory.ask(format!("digest {name}"))?;
        let digest = self.memory.digest(&name.to_string());
        digest.map(Some).ok_or_else(|| LayoutError::NoSuchReference(name.to_string()).into())
    }

    async fn remove(&self, name: &ImageName, expected: &Digest) -> Result<Vec<String>, Error> {
        self.memory.ask(format!("remove {name}"))?;
        let name = name.to_string();
        assert_eq!(self.memory.digest(&name).as_ref(), Some(expected), "{name}");
        self.memory.state().images.remove(&name);
        Ok(Vec::new())
    }

    async fn finish(&self) -> Result<(), Error> {
        let place = self.place.to_string();
        self.memory.ask(format!("finish {place}"))?;
        self.memory.state().finished.insert(place);
        Ok(())
    }
}

/// A task for each of these sources, on its way to a place.
pub(crate) fn tasks(memory: &Memory, place: &str, sources: &[&str]) -> Vec<SyncTask> {
    let request = Arc::new(request());
    let options = Arc::new(options());
    let collection = memory.place(place);
    let task = |(at, source): (usize, &&str)| SyncTask {
        id: TaskId::default(),
        from: ImageName::parse(source).unwrap(),
        options: options.clone(),
        to: collection.name(&format!("copy:{at}")).unwrap(),
        place: place.parse().unwrap(),
        collection: collection.clone(),
        request: request.clone(),
        at: at + 1,
        of: sources.len(),
        unchanged: false,
    };
    let mut tasks: Vec<SyncTask> = sources.iter().enumerate().map(task).collect();
    number(&mut tasks);
    tasks
}

/// What is asked of each copy.
pub(crate) fn request() -> Request {
    Request::new(Platform::new("linux", "amd64", ""))
}

/// The numbers of the first tasks of a run.
pub(crate) fn ids<const N: usize>() -> [TaskId; N] {
    std::array::from_fn(TaskId::nth)
}
