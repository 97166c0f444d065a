//! What users of Windows get: a zip with the program. Wine tries it.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use fs_err as fs;
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipArchive, ZipWriter};

use super::tried::{scratch, skipped};
use super::used::{Program, use_it};
use super::{NAME, Target, licences, version};
use crate::shell;

/// The folder in the archive, and the archive without its ending.
fn folder() -> String {
    format!("{NAME}-{}-{}-{}", version(), Target::Windows.machine(), Target::Windows.system())
}

/// Writes `NAME-VERSION-x86_64-windows.zip`.
pub(super) fn write(program: &Path, out: &Path, time: u64) -> Result<String> {
    let root = shell::root();
    let mut files = vec![(Target::Windows.program().to_owned(), fs::read(program)?)];
    for name in ["README.md", "LICENSE", "NOTICE", "CHANGELOG.md"] {
        files.push((name.to_owned(), fs::read(root.join(name))?));
    }
    let licences = licences::text(Target::Windows)?;
    files.push(("THIRD-PARTY-LICENSES.txt".to_owned(), licences.into_bytes()));
    let options = SimpleFileOptions::default()
        .compression_level(Some(9))
        .last_modified_time(moment(time)?)
        .unix_permissions(0o755);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(format!("{}/{name}", folder()), options)?;
        zip.write_all(&bytes)?;
    }
    let name = format!("{}.zip", folder());
    fs::write(out.join(&name), zip.finish()?.into_inner())?;
    Ok(name)
}

/// Seconds since 1970 as zip has them: a date and a time of day.
fn moment(time: u64) -> Result<DateTime> {
    let told = super::sbom::utc(time);
    let number = |from: usize, to: usize| {
        told.get(from..to)
            .and_then(|it| it.parse::<u16>().ok())
            .context("a time that zip cannot say")
    };
    let byte = |from: usize| Ok::<u8, anyhow::Error>(u8::try_from(number(from, from + 2)?)?);
    let year = number(0, 4)?;
    Ok(DateTime::from_date_and_time(year, byte(5)?, byte(8)?, byte(11)?, byte(14)?, byte(17)?)?)
}

/// Unpacks the archive and uses its program by Wine, with a registry that `server` serves: there is
/// none on Windows.
pub(super) fn try_it(server: &Path, out: &Path) -> Result<()> {
    let Some(wine) = shell::find("wine") else {
        skipped(Target::Windows.triple(), "wine is not installed (Debian: wine64)");
        return Ok(());
    };
    let place = scratch()?;
    let file = fs::File::open(out.join(format!("{}.zip", folder())))?;
    ZipArchive::new(file)?.extract(place.path())?;
    let program = place.path().join(folder()).join(Target::Windows.program());
    let prefix = place.path().join("wine").display().to_string();
    let environment = [("WINEPREFIX", &*prefix), ("WINEDEBUG", "-all"), ("DISPLAY", "")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let words = vec![wine.display().to_string(), program.display().to_string()];
    let program = Program { words, environment: environment.to_vec() };
    let result = use_it(&program, &Program::native(server), place.path());
    // What Wine left running is in the way of removing its folder.
    let mut end = Command::new("wineserver");
    let _ = end.arg("-k").env("WINEPREFIX", &prefix).stderr(Stdio::null()).status();
    result.context("by Wine")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_has_the_program() {
        let tmp = tempfile::tempdir().unwrap();
        fs::write(tmp.path().join("program"), "program").unwrap();
        let name = write(&tmp.path().join("program"), tmp.path(), 951_827_696).unwrap();
        let mut zip = ZipArchive::new(fs::File::open(tmp.path().join(name)).unwrap()).unwrap();
        let file = zip.by_name(&format!("{}/skopeo.exe", folder())).unwrap();
        let time = file.last_modified().unwrap();
        assert_eq!((time.year(), time.month(), time.day(), time.hour()), (2000, 2, 29, 12));
        assert_eq!(file.size(), 7);
    }
}
