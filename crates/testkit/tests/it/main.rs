//! The test kit, tested: a fault that does not happen would make tests pass that should not.
#![expect(clippy::unwrap_used, reason = "helpers of tests are no tests")]

mod faults;
mod images;
mod peers;
mod rest;
mod slow_network;
mod tokens;

/// A file beside this one that is not declared above would silently not run.
#[test]
fn every_file_is_declared() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let declared = include_str!("main.rs");
    for entry in fs_err::read_dir(here).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || declared.contains(&format!("mod {module};")), "{name}");
    }
}
