//! Which driver a store has, and what it is told.

use std::fmt;
use std::path::{Path, PathBuf};

use super::beginning::Beginning;
use crate::Error;

/// How the layers of a store lie on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreDriver {
    /// Each layer is a folder of what it changes.
    Overlay,
    /// Each layer is a folder of everything.
    Vfs,
}

impl fmt::Display for StoreDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlay => "overlay",
            Self::Vfs => "vfs",
        })
    }
}

/// A driver, and what it is told.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) driver: StoreDriver,
    pub(super) told: Told,
}

/// The drivers that leave a folder of their name in a store, in the original's order.
const DRIVERS: [&str; 5] = ["overlay", "overlay2", "btrfs", "zfs", "vfs"];

/// The order in which drivers are tried where no file gives one.
const PRIORITY: [&str; 4] = ["overlay", "btrfs", "zfs", "vfs"];

/// The driver that was named; or else the one that the store has; or else the first that works.
pub(super) fn choose(
    named: Option<&str>,
    priority: &[String],
    graph_root: &Path,
    beginning: &Beginning<'_>,
    read: impl Fn(StoreDriver) -> Result<Told, Error>,
) -> Result<Chosen, Error> {
    let chosen = |name: &str| -> Result<Chosen, Error> {
        let driver = parse(name)?;
        let told = read(driver)?;
        if driver == StoreDriver::Overlay && !told.mount_program {
            refuse_below(graph_root)?;
        }
        Ok(Chosen { driver, told })
    };
    if let Some(name) = named {
        return chosen(name);
    }
    let there: Vec<&'static str> =
        DRIVERS.into_iter().filter(|driver| graph_root.join(driver).exists()).collect();
    let usual: Vec<&str> = if priority.is_empty() {
        PRIORITY.to_vec()
    } else {
        priority.iter().map(String::as_str).collect()
    };
    // A folder of another driver beside that of vfs would be the end of such a store: from then on
    // nobody knows which is meant.
    if there == ["vfs"] {
        return chosen("vfs");
    }
    // Beside others vfs counts only if somebody has asked for it.
    let prior = usual
        .iter()
        .find(|name| there.contains(*name) && (**name != "vfs" || !priority.is_empty()));
    if let Some(name) = prior {
        let chosen = chosen(name)?;
        if there.len() > 1 {
            return Err(Error::StorageDrivers {
                graph_root: graph_root.to_owned(),
                drivers: there,
            });
        }
        return Ok(chosen);
    }
    if priority.is_empty() && beginning.is_vfs() {
        return chosen("vfs");
    }
    for name in usual {
        match chosen(name) {
            Err(Error::StorageDriver { .. }) => {}
            Err(Error::BackingFileSystem { .. }) if beginning.has_mount_program() => {
                return Ok(read(StoreDriver::Overlay)?.mounted_by_program());
            }
            Err(Error::BackingFileSystem { .. }) => {}
            Ok(chosen) if needs_kernel(&chosen) && !beginning.kernel_mounts_overlay(graph_root) => {
                if beginning.has_mount_program() {
                    return Ok(chosen.told.mounted_by_program());
                }
            }
            chosen => return chosen,
        }
    }
    Err(Error::Invalid("no supported storage backend found".to_owned()))
}

/// Whether layers of a store can be used only if the kernel mounts them.
fn needs_kernel(chosen: &Chosen) -> bool {
    chosen.driver == StoreDriver::Overlay && !chosen.told.mount_program
}

fn parse(name: &str) -> Result<StoreDriver, Error> {
    match name {
        "overlay" | "overlay2" => Ok(StoreDriver::Overlay),
        "vfs" => Ok(StoreDriver::Vfs),
        other => Err(Error::StorageDriver { driver: other.to_owned() }),
    }
}

/// File systems that the kernel's overlay cannot lie on, by their magic numbers.
const NO_UPPER: [(i128, &str); 3] =
    [(0x6175_6673, "aufs"), (0x794c_7630, "overlayfs"), (0xf15f, "ecryptfs")];

/// Refuses a store whose layers the kernel could not mount.
fn refuse_below(graph_root: &Path) -> Result<(), Error> {
    // Stores are made where they are missing: what counts is where that will be.
    let Some(kind) = graph_root.ancestors().find_map(skopeo_system::file_system) else {
        return Ok(());
    };
    match NO_UPPER.into_iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(Error::BackingFileSystem { file_system: name }),
        None => Ok(()),
    }
}

/// What a driver is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) image_stores: Vec<PathBuf>,
    pub(super) ignore_chown_errors: bool,
    pub(super) force_mask: Option<u32>,
    pub(super) mount_program: bool,
}

impl Told {
    /// Overlay, with all that it is told, where a program mounts it.
    fn mounted_by_program(self) -> Chosen {
        let told = Self { mount_program: true, ..self };
        Chosen { driver: StoreDriver::Overlay, told }
    }

    /// Reads the options, those for other drivers passed over.
    ///
    /// # Errors
    ///
    /// One is unknown to this driver, or its value makes no sense.
    pub(super) fn read(driver: StoreDriver, options: &[String]) -> Result<Self, Error> {
        let mut told = Self::default();
        for option in options {
            let invalid = |text: String| Error::Invalid(text);
            let Some((key, value)) = option.split_once('=') else {
                return Err(invalid(format!("unable to parse storage-opt key/value {option:?}")));
            };
            let key = key.trim().to_lowercase();
            let value = value.trim();
            let key = match key.split_once('.') {
                None | Some(("", _)) => key.trim_start_matches('.'),
                Some(("overlay" | "overlay2", key)) if driver == StoreDriver::Overlay => key,
                Some(("vfs", key)) if driver == StoreDriver::Vfs => key,
                Some((other, _)) if DRIVERS.contains(&other) => continue,
                Some((other, _)) => {
                    return Err(invalid(format!("unknown driver {other:?} in option {option:?}")));
                }
            };
            match (key, driver) {
                ("imagestore", _) | ("additionalimagestore", StoreDriver::Overlay) => {
                    let stores = value.split(',').filter(|store| !store.is_empty());
                    for store in stores {
                        told.image_stores.push(additional(store)?);
                    }
                }
                ("ignore_chown_errors", _) => told.ignore_chown_errors = boolean(value)?,
                ("force_mask", StoreDriver::Overlay) => told.force_mask = Some(mask(value)?),
                ("mount_program", StoreDriver::Overlay) => {
                    if !value.is_empty() && !Path::new(value).exists() {
                        let text = format!(
                            "overlay: can't stat program {value:?}: stat {value}: no such file or \
                             directory"
                        );
                        return Err(invalid(text));
                    }
                    told.mount_program = !value.is_empty();
                }
                ("mountopt", StoreDriver::Vfs) => {
                    return Err(invalid("vfs driver does not support mount options".to_owned()));
                }
                ("sync", _) => sync(driver, value)?,
                ("skip_mount_home" | "use_composefs", StoreDriver::Overlay) => {
                    boolean(value)?;
                }
                (
                    "override_kernel_check"
                    | "mountopt"
                    | "size"
                    | "inodes"
                    | "additionallayerstore",
                    StoreDriver::Overlay,
                ) => {}
                _ => return Err(invalid(format!("unknown option {key:?} ({option:?})"))),
            }
        }
        Ok(told)
    }
}

fn additional(store: &str) -> Result<PathBuf, Error> {
    let path = PathBuf::from(store);
    if !path.is_absolute() {
        return Err(Error::Invalid(format!(
            "overlay: image path {store:?} is not absolute.  Can not be relative"
        )));
    }
    match fs_err::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(Error::Invalid(format!("overlay: image path {store:?} must be a directory"))),
        Err(error) => {
            let doing = format!("overlay: can't stat imageStore dir {store}");
            Err(Error::file("stat", &path, error).during(doing))
        }
    }
}

/// A truth as Go reads it.
fn boolean(value: &str) -> Result<bool, Error> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Error::Invalid(format!("strconv.ParseBool: parsing {value:?}: invalid syntax"))),
    }
}

fn mask(value: &str) -> Result<u32, Error> {
    match value {
        "shared" => Ok(0o755),
        "private" => Ok(0o700),
        octal => u32::from_str_radix(octal, 8).map_err(|_| {
            Error::Invalid(format!("strconv.ParseInt: parsing {octal:?}: invalid syntax"))
        }),
    }
}

fn sync(driver: StoreDriver, value: &str) -> Result<(), Error> {
    match value {
        "" | "none" | "filesystem" => Ok(()),
        other => Err(Error::Invalid(format!("invalid sync mode for {driver} driver: {other:?}"))),
    }
}
