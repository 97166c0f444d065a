//! A registry in which most images are lied about.

use std::collections::BTreeMap;

use skopeo_testkit::{Home, Image, Registry};

use super::table::Lie;

/// How many images of a run are honest.
pub(crate) const HONEST: usize = 10;

/// What the images of a source are, and what may be lied about them.
pub(crate) struct Kind {
    /// The image of a seed.
    pub(crate) image: fn(u64) -> Image,
    /// Puts it into a registry, with all that belongs to it.
    pub(crate) push: fn(&Image, &Registry, &str),
    /// All lies about the image in a repository; the last is another image of that registry.
    pub(crate) lies: fn(&str, &Image, &Image) -> Vec<Lie>,
}

/// A registry in which most images are lied about.
pub(crate) struct Source {
    pub(crate) registry: Registry,
    /// What is lied about them, by repository.
    pub(crate) lies: BTreeMap<String, &'static str>,
}

impl Source {
    /// All lies, or those whose number is one of these.
    pub(crate) fn new(kind: &Kind, chosen: impl Fn(usize) -> bool) -> Self {
        let registry = Registry::start();
        let honest: Vec<Image> = (0..HONEST as u64).map(|seed| (kind.image)(seed + 1)).collect();
        for (at, image) in honest.iter().enumerate() {
            (kind.push)(image, &registry, &format!("good{at}:t"));
        }
        let mut lies = BTreeMap::new();
        let count = (kind.lies)("", &honest[0], &honest[1]).len();
        for at in (0..count).filter(|at| chosen(*at)) {
            let repository = format!("evil{at}");
            let image = (kind.image)(1000 + at as u64);
            (kind.push)(&image, &registry, &format!("{repository}:t"));
            let other = &honest[at % HONEST];
            let (name, faults) = (kind.lies)(&repository, &image, other).swap_remove(at);
            faults.into_iter().for_each(|fault| registry.fault(fault));
            lies.insert(repository, name);
        }
        Self { registry, lies }
    }

    /// The file that names all images, those that lie first and last.
    pub(crate) fn file(&self, home: &Home) {
        let (first, last): (Vec<_>, Vec<_>) =
            self.lies.keys().enumerate().partition(|(at, _)| at % 3 < 2);
        let mut text = format!("{}:\n  tls-verify: false\n  images:\n", self.registry.host());
        let honest = (0..HONEST).map(|at| format!("good{at}"));
        let first = first.into_iter().map(|(_, name)| name.clone());
        let last = last.into_iter().map(|(_, name)| name.clone());
        for name in first.chain(honest).chain(last) {
            text.push_str(&format!("    {name}: [t]\n"));
        }
        home.write("work/sync.yaml", &text);
    }
}
