//! Several files.

use super::*;

#[test]
fn the_first_main_file_counts_and_drop_ins_are_added() {
    const USR: &str = "usr/share/containers";
    let machine = |files: &[&str]| {
        files.iter().fold(Machine::new(), |machine, file| {
            let stem = file.rsplit('/').next().unwrap().trim_end_matches(".conf");
            machine.file(file, &entry(&format!("{stem}-{}", &file[..3])))
        })
    };
    let user = "home/.config/containers/registries.conf";
    let etc = "etc/containers/registries.conf";
    let usr = &format!("{USR}/registries.conf");
    for (files, expected) in [
        (vec![], ""),
        (vec![usr.as_str()], "registries-usr"),
        (vec![usr, etc], "registries-etc"),
        (vec![usr, etc, user], "registries-hom"),
        (
            // A drop-in of the user replaces one of the same name.
            vec![
                usr,
                "usr/share/containers/registries.conf.d/10.conf",
                "etc/containers/registries.conf.d/10.conf",
                "etc/containers/registries.conf.d/20.conf",
                "home/.config/containers/registries.conf.d/20.conf",
                "home/.config/containers/registries.conf.d/30.other",
            ],
            "10-etc 20-hom registries-usr",
        ),
        (
            vec![
                "etc/containers/registries.rootless.conf.d/10.conf",
                "etc/containers/registries.rootless.conf.d/1000/20.conf",
                "etc/containers/registries.rootless.conf.d/1001/30.conf",
                "etc/containers/registries.rootful.conf.d/40.conf",
            ],
            "10-etc 20-etc",
        ),
    ] {
        let machine = machine(&files);
        let registries = Registries::load(&machine.environment(), None).unwrap();
        assert_eq!(prefixes(&registries), expected, "{files:?}");
    }
    let machine = machine(&["etc/containers/registries.rootful.conf.d/40.conf"]).rootful();
    let registries = Registries::load(&machine.environment(), None).unwrap();
    assert_eq!(prefixes(&registries), "40-etc");
}

#[test]
fn files_that_are_named_replace_others() {
    let machine = || {
        Machine::new()
            .file("etc/containers/registries.conf", &entry("main"))
            .file("etc/containers/registries.conf.d/1.conf", &entry("drop-in"))
            .file("xdg/containers/registries.conf", &entry("xdg"))
            .file("named.conf", &entry("named"))
            .file("last.conf", &entry("last"))
    };
    for (machine, flag, expected) in [
        (machine(), None, "drop-in main"),
        (machine().var_path("XDG_CONFIG_HOME", "xdg"), None, "drop-in xdg"),
        (machine().var("XDG_CONFIG_HOME", ""), None, "drop-in main"),
        (machine().var_path("CONTAINERS_REGISTRIES_CONF", "named.conf"), None, "named"),
        (
            machine().var_path("CONTAINERS_REGISTRIES_CONF", "named.conf"),
            Some("last.conf"),
            "drop-in last",
        ),
        (machine(), Some("named.conf"), "drop-in named"),
        (
            machine().var_path("CONTAINERS_REGISTRIES_CONF_OVERRIDE", "last.conf"),
            None,
            "drop-in last main",
        ),
        (
            machine()
                .var_path("CONTAINERS_REGISTRIES_CONF", "named.conf")
                .var_path("CONTAINERS_REGISTRIES_CONF_OVERRIDE", "last.conf"),
            None,
            "last named",
        ),
    ] {
        let flag = flag.map(|flag| machine.path(flag));
        let registries = Registries::load(&machine.environment(), flag.as_deref()).unwrap();
        assert_eq!(prefixes(&registries), expected);
    }
}

#[test]
fn later_files_replace_lists_and_add_entries() {
    let main = "unqualified-search-registries=['a','b']\ncredential-helpers=['x']\n\
                short-name-mode='disabled'\n[aliases]\n'one'='h.io/one'\n'two'='h.io/two'\n\
                [[registry]]\nlocation='h'\nblocked=true\n";
    let drop_in = "unqualified-search-registries=[]\n[aliases]\n'two'=''\n\
                   [[registry]]\nlocation='h'\n[[registry]]\nlocation='i'\n";
    let machine = Machine::new()
        .file("etc/containers/registries.conf", main)
        .file("etc/containers/registries.conf.d/1.conf", drop_in);
    let registries = Registries::load(&machine.environment(), None).unwrap();
    assert_eq!(prefixes(&registries), "h i");
    assert!(!registries.find("h").unwrap().blocked);
    assert!(registries.unqualified().is_empty());
    assert_eq!(registries.credential_helpers(), ["x"]);
    assert_eq!(registries.short_name_mode(), ShortNameMode::Disabled);
    assert!(registries.alias("one").unwrap().name.is_some());
    assert!(registries.alias("two").unwrap().name.is_none());
    assert_eq!(registries.sources().len(), 2);

    let nothing = Registries::load(&Machine::new().environment(), None).unwrap();
    assert_eq!(nothing.credential_helpers(), [CREDENTIAL_FILES]);
    assert_eq!(nothing.short_name_mode(), ShortNameMode::Permissive);
}

#[test]
fn errors_name_the_file() {
    let v1 = "[registries.search]\nregistries = ['h']\n";
    for (machine, expected) in [
        (
            Machine::new().file("etc/containers/registries.conf", v1),
            "loading registries configuration \"/etc/containers/registries.conf\": registry must \
             be in v2 format but is in v1",
        ),
        (
            Machine::new().file("etc/containers/registries.conf.d/1.conf", "[[registry]]"),
            "loading drop-in registries configuration \"/etc/containers/registries.conf.d/1.conf\"\
             : invalid condition: both location and prefix are unset",
        ),
        (
            Machine::new().var_path("CONTAINERS_REGISTRIES_CONF", "none.conf"),
            "loading registries configuration \"/none.conf\": open /none.conf: no such file or \
             directory",
        ),
        (
            Machine::new().var_path("CONTAINERS_REGISTRIES_CONF_OVERRIDE", "none.conf"),
            "loading registries configuration \"/none.conf\": open /none.conf: no such file or \
             directory",
        ),
        (
            Machine::new().file("etc/containers/registries.conf/folder", ""),
            "loading registries configuration \"/etc/containers/registries.conf\": open \
             /etc/containers/registries.conf: is a directory",
        ),
    ] {
        let error = Registries::load(&machine.environment(), None).unwrap_err();
        assert_eq!(machine.plain(&error), expected);
    }
}

#[test]
fn linked_drop_ins_count_as_what_they_lead_to() {
    let machine = Machine::new()
        .file("data/1.conf", &entry("linked"))
        .file("etc/containers/registries.conf.d/2.conf", &entry("two"))
        .file("home/.config/containers/registries.conf.d/3.conf", &entry("three"));
    let folder = machine.path("etc/containers/registries.conf.d");
    std::os::unix::fs::symlink(machine.path("data/1.conf"), folder.join("1.conf")).unwrap();
    std::os::unix::fs::symlink(machine.path("nowhere"), folder.join("4.conf")).unwrap();
    let registries = Registries::load(&machine.environment(), None).unwrap();
    assert_eq!(prefixes(&registries), "linked three two");
}
