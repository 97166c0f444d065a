//! What a panic does. It is a defect in any case.

use std::sync::atomic::{AtomicBool, Ordering};

static OUTLIVED: AtomicBool = AtomicBool::new(false);

/// From now on a panic ends the program at once, as nobody knows what of it is left: no half of a
/// copy goes on.
pub(crate) fn end_on_panic() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        usual(panic);
        if !OUTLIVED.load(Ordering::Relaxed) {
            std::process::abort();
        }
    }));
}

/// From now on a panic ends only the task it is in: one client's request must not end the others'.
pub(crate) fn outlive_panics() {
    OUTLIVED.store(true, Ordering::Relaxed);
}
