//! docs/man is what the table of flags says.

use crate::program;
use crate::surface::golden;

#[test]
fn man_pages_are_not_stale() {
    let folder = program::root().join("docs/man");
    let pages = skopeo_cli::man::pages();
    for (name, text) in &pages {
        golden(&folder.join(name), text);
    }
    for entry in fs_err::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(pages.iter().any(|(page, _)| *page == name), "docs/man/{name} is nobody's");
    }
}
