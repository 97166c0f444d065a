//! `fuzz TARGET --inputs N --seconds N --start N --current FILE`: runs a target and says on stdout,
//! as one line of JSON, what has come of it. `cargo xtask fuzz` starts one for each target.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it speaks to xtask")]

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use serde_json::json;
use skopeo_fuzz::{Mutator, find, run, seeds};

/// What may be allocated, in bytes: more ends the program.
const MEMORY: u64 = 3 << 30;

/// How long one input may take.
const LONGEST: Duration = Duration::from_secs(60);

/// How many inputs there are between two looks at the clock.
const BATCH: u64 = 32;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let Some(target) = words.next().as_deref().and_then(find) else {
        for target in skopeo_fuzz::TARGETS {
            println!("{}", target.name);
        }
        return ExitCode::from(2);
    };
    let mut flags: HashMap<String, String> = HashMap::new();
    while let (Some(flag), Some(value)) = (words.next(), words.next()) {
        flags.insert(flag, value);
    }
    let number = |flag: &str| flags.get(flag).and_then(|value| value.parse::<u64>().ok());
    let limit = Rlimit { current: Some(MEMORY), maximum: Some(MEMORY) };
    if let Err(error) = setrlimit(Resource::Data, limit) {
        eprintln!("limiting memory: {error}");
    }
    let current = flags.get("--current").map(|path| {
        let options = fs_err::File::options().create(true).write(true).truncate(true).open(path);
        options.expect("a file for the current input")
    });
    let (inputs, seconds) = (number("--inputs").unwrap_or(u64::MAX), number("--seconds"));
    let seeds = seeds(target);
    let mutator = Mutator::new(&seeds, target.words, number("--start").unwrap_or(1));
    let begun = Instant::now();
    let end = seconds.and_then(|seconds| begun.checked_add(Duration::from_secs(seconds)));
    let clock = watch(begun);
    let mut done = 0;
    let mut finding = None;
    while done < inputs && end.is_none_or(|end| Instant::now() < end) && finding.is_none() {
        let batch = done..inputs.min(done + BATCH);
        let ran = run(target, &mutator, batch.clone(), |_, input| {
            clock.store(millis(begun), Ordering::Relaxed);
            if let Some(file) = &current {
                let _ = file.file().write_all_at(input, 8);
                let _ = file.file().write_all_at(&(input.len() as u64).to_le_bytes(), 0);
            }
        });
        match ran {
            Ok(()) => done = batch.end,
            Err(found) => finding = Some(found),
        }
    }
    let said = json!({
        "target": target.name,
        "inputs": done,
        "seconds": begun.elapsed().as_secs_f64(),
        "finding": finding.as_ref().map(|it| json!({ "input": it.input, "message": it.message })),
    });
    println!("{said}");
    if finding.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn millis(begun: Instant) -> u64 {
    u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Ends the program if an input takes too long: the time of the last one's begin is kept in what is
/// given back.
fn watch(begun: Instant) -> Arc<AtomicU64> {
    let clock = Arc::new(AtomicU64::new(0));
    let seen = clock.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(1));
            let took = millis(begun).saturating_sub(seen.load(Ordering::Relaxed));
            if Duration::from_millis(took) > LONGEST {
                eprintln!("an input takes longer than {} s", LONGEST.as_secs());
                std::process::abort();
            }
        }
    });
    clock
}
