//! A file that an earlier run has written for this one.

use crate::plan::PlanFile;
use crate::reach::{Reach, Side};
use crate::report::{Record, Recorded};

/// A file that an earlier run has written, from which this run takes its images.
#[derive(Debug)]
#[non_exhaustive]
pub enum Earlier {
    /// The plan of a dry run.
    Plan(Box<PlanFile>),
    /// The report of a run of which not all images arrived.
    Report(Box<Record>),
}

impl Earlier {
    /// Returns what else the earlier run was asked for, in the words of who asked.
    #[must_use]
    pub fn recorded(&self) -> &Recorded {
        match self {
            Self::Plan(plan) => &plan.plan().flags,
            Self::Report(report) => &report.options,
        }
    }

    /// Returns SOURCE and DESTINATION of the earlier run; a plan needs none.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        match self {
            Self::Plan(_) => &[],
            Self::Report(report) => &report.arguments,
        }
    }

    /// Returns the registries and destinations that the file itself says how to reach.
    #[must_use]
    pub fn reaches(&self) -> Vec<Reach> {
        match self {
            Self::Plan(plan) => plan.reaches().collect(),
            Self::Report(_) => Vec::new(),
        }
    }

    /// Returns the hosts of the registries that its images come from and go to.
    #[must_use]
    pub fn registries(&self) -> Vec<(Side, String)> {
        match self {
            Self::Plan(plan) => plan.registries().collect(),
            Self::Report(report) => report.registries().collect(),
        }
    }
}
