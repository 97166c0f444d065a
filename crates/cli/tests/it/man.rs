//! docs/man and docs/commands are what the table of flags says.

use crate::program;
use crate::surface::golden;

#[test]
fn man_pages_are_not_stale() {
    fresh("docs/man", &skopeo_cli::man::pages());
}

#[test]
fn man_chapters_of_the_book_are_not_stale() {
    fresh("docs/commands", &skopeo_cli::man::chapters());
}

#[track_caller]
fn fresh(folder: &str, pages: &[(String, String)]) {
    let folder = program::root().join(folder);
    for (name, text) in pages {
        golden(&folder.join(name), text);
    }
    for entry in fs_err::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(pages.iter().any(|(page, _)| *page == name), "{name} is nobody's");
    }
}

#[test]
fn man_pages_are_written_into_a_folder() {
    let tmp = tempfile::tempdir().unwrap();
    let folder = tmp.path().join("share/man/man1");
    for _ in 0..2 {
        let written = program::run(&["man", folder.to_str().unwrap()]);
        assert_eq!((written.code, written.stdout.as_str(), written.stderr.as_str()), (0, "", ""));
    }
    for (name, text) in skopeo_cli::man::pages() {
        assert_eq!(fs_err::read_to_string(folder.join(name)).unwrap(), text);
    }
    for words in [&["man"][..], &["man", "a", "b"]] {
        let refused = program::run(words);
        assert_eq!(refused.code, 1);
        assert_eq!(refused.fatal(), "Usage: skopeo man FOLDER");
    }
    fs_err::write(tmp.path().join("file"), "").unwrap();
    let refused = program::run(&["man", tmp.path().join("file/x").to_str().unwrap()]);
    assert_eq!(refused.code, 1);
    assert!(refused.fatal().starts_with("writing manual pages: "), "{refused:?}");
}
