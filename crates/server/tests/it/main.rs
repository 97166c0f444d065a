//! The registry as clients see it.
#![expect(clippy::unwrap_used, reason = "helpers of tests are no tests to clippy")]

mod access;
mod attacks;
mod bucket;
mod client;
mod conformance;
mod empty;
mod folders;
mod headers;
mod http2;
mod limits;
mod links;
mod nested;
mod odd;
mod panics;
mod peers;
mod process;
mod safety;
mod shared;
mod slow;

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
