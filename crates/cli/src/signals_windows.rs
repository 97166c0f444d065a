//! What asks a program to end on Windows: Ctrl and C.

use anyhow::{Context as _, Result};
use tokio::signal::windows::{CtrlC, ctrl_c};

use crate::exit::Interrupted;

/// Ctrl and C, which ends this program no more once the value is there.
#[derive(Debug)]
pub(crate) struct Signals(CtrlC);

impl Signals {
    /// Begins to listen; inside a runtime.
    pub(crate) fn listen() -> Result<Self> {
        ctrl_c().map(Self).context("listening for signals")
    }

    /// Waits for it.
    pub(crate) async fn wait(mut self) -> Interrupted {
        self.0.recv().await;
        Interrupted { code: 130, hint: None }
    }
}
