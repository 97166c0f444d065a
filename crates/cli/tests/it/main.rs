//! The program as its users see it. One binary, so that it links once.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod architecture;
mod archive_added;
mod atomic;
mod blob_connections;
mod buckets;
mod completion;
mod copy;
mod delete;
mod deploy;
mod dir_again;
mod docker_archive;
mod docker_daemon;
mod docker_hub;
mod encryption;
mod failures;
mod faults;
mod hints;
mod hostile;
mod hostile_tar;
mod inspect;
mod json_of_others;
mod killed;
mod lies;
mod links;
mod list_tags;
mod login;
mod man;
mod manifest_digest;
mod manual;
mod max_unpacked;
mod messages;
mod moments;
mod oci_archive;
mod output;
mod pinned_names;
mod platforms;
mod podman_trust;
mod program;
mod proxy;
mod real_registry;
mod recode;
mod referrers;
mod referrers_in_layouts;
mod registry_hints;
mod resume;
mod script;
mod serve;
mod serve_names;
mod sif;
mod signals;
mod signing;
mod sigstore_bundles;
mod sigstore_judges;
mod sigstore_signing;
mod sigstore_tiles;
mod slow_sides;
mod stage;
mod storage;
mod surface;
mod sync_archives;
mod sync_choice;
mod sync_delete;
mod sync_delete_kept;
mod sync_dir;
mod sync_faults;
mod sync_field;
mod sync_killed;
mod sync_limits;
mod sync_lock;
mod sync_names;
mod sync_plan;
mod sync_plan_delete;
mod sync_report;
mod sync_scale;
mod sync_shards;
mod sync_stage;
mod sync_state;
mod sync_to;
mod sync_trust;
mod sync_twin;
mod sync_yaml;
mod tarball;
mod terminal;
mod trust;
mod tutorials;
mod twin;
mod twin_commands;
mod twin_copy;
mod twin_matrix;

/// A file that is not declared above would be a test that never runs.
#[test]
fn no_file_is_forgotten() {
    let folder = program::root().join("crates/cli/tests/it");
    let declared = fs_err::read_to_string(folder.join("main.rs")).unwrap();
    for entry in fs_err::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            name == "main" || declared.contains(&format!("mod {name};")),
            "tests/it/{name}.rs is not declared in main.rs"
        );
    }
}
