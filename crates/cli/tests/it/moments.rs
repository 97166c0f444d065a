//! Moments at which programs are killed: random, and the same every time. They are counted in
//! requests first, because a clock alone would only tell how busy the machine is.

use std::process::Child;
use std::time::Duration;

use skopeo_testkit::Registry;

pub(crate) struct Moments {
    state: u64,
    /// The requests of a run that nobody disturbs.
    usual: u64,
}

impl Moments {
    /// `undisturbed` runs the program once, and lets it end.
    pub(crate) fn new(seed: u64, asked: &Registry, undisturbed: impl FnOnce()) -> Self {
        asked.forget_requests();
        undisturbed();
        let usual = asked.requests().len() as u64;
        assert!(usual > 0, "the registry was asked nothing");
        Self { usual, ..Self::seeded(seed) }
    }

    /// For tests that ask for nothing at the moment itself, and may take it from the clock.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: seed, usual: 1 }
    }

    /// Kills a program when some of a time has passed.
    pub(crate) fn kill_within(&mut self, mut child: Child, limit: Duration) {
        std::thread::sleep(Duration::from_micros(self.below(limit.as_micros() as u64)));
        let _ = child.kill();
        child.wait_with_output().unwrap();
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % limit
    }

    /// Starts a program and kills it when it has asked the registry some of its questions.
    pub(crate) fn kill(&mut self, asked: &Registry, start: impl FnOnce() -> Child) {
        // From there 0.1 to 100 ms more, short ones as often as long ones.
        let (requests, longer) = (self.below(self.usual), 100 << self.below(11));
        asked.forget_requests();
        let mut child = start();
        while (asked.requests().len() as u64) < requests && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(longer));
        let _ = child.kill();
        child.wait_with_output().unwrap();
    }
}

/// The flag of a run that is killed.
pub(crate) const FIRST: &str = "--user-agent-prefix=first";

/// The flag of a run whose requests [`asked_again`] counts.
pub(crate) const AGAIN: &str = "--user-agent-prefix=again";

/// How many blobs were asked for by a run with [`AGAIN`]. What a killed program asked may come in
/// after its end.
pub(crate) fn asked_again(registry: &Registry) -> usize {
    let seen = registry.requests();
    let blobs = seen.iter().filter(|it| it.method == "GET" && it.target.contains("/blobs/"));
    blobs.filter(|it| it.header("user-agent").starts_with("again ")).count()
}
