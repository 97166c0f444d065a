//! A place of many images with faults, and what goes there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use skopeo_config::{Config, Environment, Overrides};
use skopeo_copy::Request;
use skopeo_image::{Digest, Platform};
use skopeo_transport::{
    Collection, CollectionKind, Connections, Destination, Error, ImageName, NameError, Options,
    Probe, collection,
};

use crate::destination::Place;
use crate::task::{SyncTask, TaskId, number};

/// Options of a machine where nothing is configured.
pub(crate) fn options() -> Options {
    let none = Path::new("/nowhere");
    let environment = Environment::fixed([("PATH", "/usr/bin")], none.to_owned(), 1000, none);
    let config = Config::with_environment(Overrides::default(), environment);
    Options::new(Arc::new(config), Connections::new())
}

/// A folder of images that knows the tags it is told, and fails when it is to.
#[derive(Debug)]
pub(crate) struct Fake {
    folder: PathBuf,
    inner: Box<dyn Collection>,
    tags: Mutex<BTreeMap<String, Digest>>,
    /// What goes wrong when images are written, one after the other.
    pub(crate) faults: Mutex<Vec<Error>>,
}

impl Fake {
    pub(crate) async fn new(folder: &Path, tags: &[&str]) -> Arc<Self> {
        let place = folder.to_str().unwrap();
        let inner = collection(CollectionKind::Dir, place, &options()).await.unwrap();
        let tags = tags.iter().map(|tag| ((*tag).to_owned(), Digest::sha256(tag.as_bytes())));
        let (tags, faults) = (Mutex::new(tags.collect()), Mutex::default());
        Arc::new(Self { folder: folder.to_owned(), inner, tags, faults })
    }

    pub(crate) fn place(&self) -> Place {
        format!("dir:{}", self.folder.display()).parse().unwrap()
    }

    pub(crate) fn tags_left(&self) -> Vec<String> {
        self.known().keys().cloned().collect()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Digest>> {
        self.tags.lock().unwrap()
    }
}

#[async_trait]
impl Collection for Fake {
    fn name(&self, label: &str) -> Result<ImageName, NameError> {
        self.inner.name(label)
    }

    async fn create(&self, name: &ImageName) -> Result<Box<dyn Destination>, Error> {
        let fault = self.faults.lock().unwrap().pop();
        match fault {
            Some(fault) => Err(fault),
            None => self.inner.create(name).await,
        }
    }

    async fn look(&self, name: &ImageName) -> Result<Box<dyn Probe>, Error> {
        self.inner.look(name).await
    }

    async fn tags(&self, _repository: &str) -> Result<Vec<String>, Error> {
        Ok(self.tags_left())
    }

    async fn digest(&self, name: &ImageName) -> Result<Option<Digest>, Error> {
        let name = name.to_string();
        let (_, tag) = name.rsplit_once(':').unwrap();
        Ok(self.known().get(tag).cloned())
    }

    async fn remove(&self, name: &ImageName, expected: &Digest) -> Result<Vec<String>, Error> {
        let name = name.to_string();
        let (_, tag) = name.rsplit_once(':').unwrap();
        assert_eq!(self.known().remove(tag).as_ref(), Some(expected), "{name}");
        Ok(Vec::new())
    }
}

/// A task for each of these sources.
pub(crate) fn tasks(to: &Arc<Fake>, sources: &[String]) -> Vec<SyncTask> {
    let request = Arc::new(Request::new(Platform::new("linux", "amd64", "")));
    let options = Arc::new(options());
    let task = |(at, source): (usize, &String)| SyncTask {
        id: TaskId::default(),
        from: ImageName::parse(source).unwrap(),
        options: options.clone(),
        to: to.name(&format!("copy:{at}")).unwrap(),
        place: to.place(),
        collection: to.clone(),
        request: request.clone(),
        at: at + 1,
        of: sources.len(),
        settled: false,
    };
    let mut tasks: Vec<SyncTask> = sources.iter().enumerate().map(task).collect();
    number(&mut tasks);
    tasks
}

/// The numbers of the first tasks of a run.
pub(crate) fn ids<const N: usize>() -> [TaskId; N] {
    std::array::from_fn(TaskId::nth)
}
