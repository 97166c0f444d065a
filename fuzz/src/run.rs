//! Input after input.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, Once, PoisonError};

use crate::{Mutator, Target};

/// How often a smaller input is looked for.
const TRIES: u32 = 4000;

/// An input that something panics at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was read, as small as it could be made.
    pub input: Vec<u8>,
    /// What the panic said, and where.
    pub message: String,
}

/// Runs a target with the inputs of these numbers; `before` is told of each. Ends at the first
/// finding.
///
/// # Errors
/// The first finding, made small.
pub fn run(
    target: &Target,
    mutator: &Mutator<'_>,
    numbers: Range<u64>,
    mut before: impl FnMut(u64, &[u8]),
) -> Result<(), Finding> {
    for number in numbers {
        let input = mutator.input(number);
        before(number, &input);
        if attempt(target.body, &input).is_some() {
            return Err(minimise(target.body, input));
        }
    }
    Ok(())
}

/// What the first panic said, if there was one: in whatever thread, and also if somebody took it for
/// an error. One input after the other in a process: a panic does not say whose it is.
#[must_use]
pub fn attempt(body: fn(&[u8]), input: &[u8]) -> Option<String> {
    static HOOK: Once = Once::new();
    static SAID: Mutex<Option<String>> = Mutex::new(None);
    static RUNNING: Mutex<()> = Mutex::new(());
    let said = || SAID.lock().unwrap_or_else(PoisonError::into_inner);
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if RUNNING.try_lock().is_ok() {
                return before(info);
            }
            said().get_or_insert_with(|| info.to_string());
        }));
    });
    let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    drop(said().take());
    let ended = panic::catch_unwind(AssertUnwindSafe(|| body(input)));
    let message = said().take();
    message.or_else(|| ended.is_err().then(|| "it panicked".to_owned()))
}

/// The shortest input that can be made of this one and still fails.
#[must_use]
pub fn minimise(body: fn(&[u8]), mut input: Vec<u8>) -> Finding {
    let mut message = attempt(body, &input).unwrap_or_else(|| "it does not fail again".to_owned());
    let mut tries = 0;
    let mut step = input.len().div_ceil(2);
    while step > 0 && tries < TRIES {
        let mut at = 0;
        while at < input.len() && tries < TRIES {
            let mut shorter = input.clone();
            shorter.drain(at..(at + step).min(input.len()));
            tries += 1;
            match attempt(body, &shorter) {
                Some(said) => (input, message) = (shorter, said),
                None => at += step,
            }
        }
        step = if step == 1 { 0 } else { step.div_ceil(2) };
    }
    Finding { input, message }
}
