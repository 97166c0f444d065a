//! `sync report merge`: the reports of several runs as one.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use skopeo_image::ErrorClass;
use skopeo_sync::report::Record;

use crate::args::names;
use crate::args::value::Values;
use crate::exit::{Classed, print};
use crate::files;

/// How reports are called that a folder is searched for.
const REPORT: &str = ".report.json";

pub(crate) fn run(flags: &Values, arguments: &[String]) -> Result<()> {
    if arguments.is_empty() {
        bail!("At least one report expected");
    }
    let into = flags.text(names::OUTPUT_FILE).map(PathBuf::from);
    if let Some(path) = &into {
        files::check(path, "output-file")?;
    }
    let mut files = Vec::new();
    for argument in arguments {
        add(Path::new(argument), &mut files)?;
    }
    let reports = files.iter().map(|path| super::record(path));
    let merged = Record::merge(reports.collect::<Result<_>>()?);
    match &into {
        Some(path) => super::write(&merged, path)?,
        None => print(merged.to_bytes()?)?,
    }
    super::table(&merged);
    let Some(sentence) = merged.shortfall() else { return Ok(()) };
    Err(Classed { class: ErrorClass::Partial, sentence, hint: None }.into())
}

/// Adds a report, or those in a folder: who runs in a container has no shell to list them.
fn add(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let entries = fs_err::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    let is_report = |path: &PathBuf| path.to_string_lossy().ends_with(REPORT);
    let mut reports: Vec<PathBuf> =
        entries.iter().map(fs_err::DirEntry::path).filter(is_report).collect();
    if reports.is_empty() {
        bail!("No reports (*{REPORT}) found in {}", crate::go::quote(&path.to_string_lossy()));
    }
    reports.sort();
    files.extend(reports);
    Ok(())
}
