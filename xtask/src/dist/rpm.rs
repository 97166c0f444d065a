//! The package of Fedora, RHEL and SUSE.

use std::path::Path;

use anyhow::{Context as _, Result};
use fs_err as fs;
use rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder, Scriptlet};

use super::tree::{DEFAULTS, Tree};
use super::{HOME, NAME, STANDS_IN_FOR, SUMMARY, version};

/// The interpreter inside of rpm.
const LUA: &str = "<lua>";

/// Writes `NAME-VERSION-1.MACHINE.rpm`.
pub(super) fn write(tree: &Tree, out: &Path, time: u64) -> Result<String> {
    let machine = tree.target.machine();
    let name = format!("{NAME}-{}-1.{machine}.rpm", version());
    let time = u32::try_from(time).context("a time that rpm cannot say")?;
    let config = BuildConfig::v4()
        .source_date(time)
        .compression(CompressionWithLevel::Gzip(9))
        .reserved_space(None);
    let mut package = PackageBuilder::new(NAME, version(), "Apache-2.0", machine, SUMMARY);
    package
        .using_config(config)
        .build_host("localhost")
        .url(HOME)
        .description(
            "It takes the place of skopeo: the same commands, flags, files, messages and exit codes. \
             It is one program, linked statically, and needs no daemon.",
        )
        // Fedora's package has an epoch.
        .provides(Dependency::eq("skopeo", format!("1:{STANDS_IN_FOR}")))
        .conflicts(Dependency::any("skopeo"))
        // The crate takes rpm's own interpreter for a program that another package must bring.
        .provides(Dependency::any(LUA))
        .recommends(Dependency::any("ca-certificates"))
        .post_install_script(Scriptlet::new(installed()).prog(vec![LUA]))
        .pre_uninstall_script(Scriptlet::new(removed()).prog(vec![LUA]));
    for file in tree.for_fedora().files {
        let path = Path::new("/").join(&file.path);
        let mode = u16::try_from(file.mode).context("a mode that rpm cannot say")?;
        let options = FileOptions::new(path.display().to_string()).permissions(mode);
        package.with_file_contents(file.bytes, options)?;
    }
    let package = package.build()?;
    let mut bytes = Vec::new();
    package.write(&mut bytes)?;
    fs::write(out.join(&name), bytes)?;
    Ok(name)
}

fn names() -> String {
    DEFAULTS.map(|(name, _)| format!("\"{name}\"")).join(", ")
}

/// Lua runs inside of rpm, so a root without a shell will do.
const READ: &str = "\
local function read(path)
    local file = io.open(path, \"r\")
    if not file then return nil end
    local text = file:read(\"*a\")
    file:close()
    return text
end
";

/// Files of configuration are written only if they are not there.
fn installed() -> String {
    format!(
        "{READ}posix.mkdir(\"/etc\")\nposix.mkdir(\"/etc/containers\")\n\
         for _, name in ipairs({{{}}}) do\n    \
         local text = read(\"/usr/share/{NAME}/containers/\" .. name)\n    \
         if text and not posix.stat(\"/etc/containers/\" .. name) then\n        \
         local file = io.open(\"/etc/containers/\" .. name, \"w\")\n        \
         if file then\n            file:write(text)\n            file:close()\n        end\n    \
         end\nend\n",
        names()
    )
}

/// What was written and nobody has changed goes with the last version of the package.
fn removed() -> String {
    format!(
        "{READ}if arg[2] == 0 then\n    \
         for _, name in ipairs({{{}}}) do\n        \
         local text = read(\"/usr/share/{NAME}/containers/\" .. name)\n        \
         if text and text == read(\"/etc/containers/\" .. name) then\n            \
         os.remove(\"/etc/containers/\" .. name)\n        end\n    end\n    \
         os.remove(\"/etc/containers\")\nend\n",
        names()
    )
}
