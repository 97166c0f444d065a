//! Programs that are found by their names.

use std::path::{Path, PathBuf};

use crate::{Environment, env};

/// Returns the first program of that name in the folders of `$PATH`.
pub(crate) fn find(name: impl AsRef<Path>, environment: &Environment) -> Option<PathBuf> {
    let folders = environment.var(env::PATH)?;
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name.as_ref()))
        .find(|path| is_program(path))
}

fn is_program(path: &Path) -> bool {
    fs_err::metadata(path).is_ok_and(|found| skopeo_system::is_program(&found))
}
