use super::*;
use crate::testing::Machine;

fn load(machine: &Machine) -> Result<Storage, Error> {
    Storage::load(&machine.environment())
}

/// What a store is, in one line, with the machine's own folder taken out.
fn shown(machine: &Machine, store: &Store) -> String {
    let text = format!(
        "{} {} {}{}",
        store.driver,
        store.graph_root.display(),
        store.run_root.display(),
        if store.rootless { " rootless" } else { "" },
    );
    text.replace(machine.root().to_str().unwrap(), "")
}

fn store(machine: &Machine) -> String {
    match machine.config().store(None) {
        Ok(store) => shown(machine, &store),
        Err(error) => machine.plain(&error),
    }
}

const USER: &str = "home/.config/containers/storage.conf";
const ADMIN: &str = "etc/containers/storage.conf";
const VENDOR: &str = "usr/share/containers/storage.conf";

#[test]
fn usual_places() {
    let runtime = || Machine::new().file("run/user/x", "").var_path("XDG_RUNTIME_DIR", "run/user");
    for (machine, expected) in [
        (Machine::new().rootful(), "overlay /var/lib/containers/storage /run/containers/storage"),
        (runtime(), "overlay /home/.local/share/containers/storage /run/user/containers rootless"),
        (
            runtime().var_path("XDG_DATA_HOME", "data"),
            "overlay /data/containers/storage /run/user/containers rootless",
        ),
        // Root in the user's namespace still is that user.
        (
            runtime().rootful().var("_CONTAINERS_ROOTLESS_UID", "1000"),
            "overlay /home/.local/share/containers/storage /run/user/containers rootless",
        ),
        // Root in a namespace of somebody else's keeps to the system's places.
        (
            Machine::new().rootful().var("_CONTAINERS_USERNS_CONFIGURED", "done"),
            "overlay /var/lib/containers/storage /run/containers/storage rootless",
        ),
        (
            Machine::new()
                .rootful()
                .file("proc/self/status", "Name:\tx\nCapEff:\t00000000a80425fb\n"),
            "overlay /var/lib/containers/storage /run/containers/storage rootless",
        ),
        (
            Machine::new().rootful().file("proc/self/status", "CapEff:\t000001ffffffffff\n"),
            "overlay /var/lib/containers/storage /run/containers/storage",
        ),
        (
            Machine::new()
                .rootful()
                .file("proc/self/uid_map", "         0     100000      65536\n"),
            "overlay /var/lib/containers/storage /run/containers/storage rootless",
        ),
    ] {
        assert_eq!(store(&machine), expected);
    }
}

#[test]
fn a_user_without_a_runtime_folder_gets_a_private_one() {
    let machine = Machine::new();
    let environment = machine.environment();
    let run_root = roots::run_root(&environment).unwrap();
    assert_eq!(run_root, machine.path("run/user/1000/containers"));
    // Where others may write, nothing of ours is put.
    let open = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let path = machine.path(path);
        fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    };
    open("run/user/1000");
    let run_root = roots::run_root(&environment).unwrap();
    assert_eq!(run_root, machine.path("tmp/storage-run-1000/containers"));
    open("tmp/storage-run-1000");
    let error = roots::run_root(&environment).unwrap_err();
    assert_eq!(
        machine.plain(&error),
        "path \"/tmp/storage-run-1000\" exists and it is not writeable only by the current user"
    );
    // What is not there, and cannot be made.
    fs_err::remove_dir_all(machine.path("tmp")).unwrap();
    fs_err::write(machine.path("tmp"), "").unwrap();
    let error = roots::run_root(&environment).unwrap_err();
    assert_eq!(machine.plain(&error), "mkdir /tmp/storage-run-1000: not a directory");
}

#[test]
fn which_file_counts() {
    let says = |folder: &str| format!("[storage]\ngraphroot = \"{folder}\"\nrunroot = \"/run\"");
    let all = |root: bool| {
        let machine = Machine::new()
            .file(VENDOR, &says("/vendor"))
            .file(ADMIN, &says("/admin"))
            .var_path("XDG_RUNTIME_DIR", "home");
        if root { machine.rootful() } else { machine }
    };
    let graph = |machine: Machine| load(&machine).unwrap().graph_root.display().to_string();
    assert_eq!(graph(Machine::new().rootful().file(VENDOR, &says("/vendor"))), "/vendor");
    for root in [true, false] {
        assert_eq!(graph(all(root)), "/admin");
        assert_eq!(graph(all(root).file(USER, &says("/user"))), "/user");
        let drop_ins = |machine: Machine| {
            machine
                .file("etc/containers/storage.rootless.conf.d/1.conf", &says("/rootless"))
                .file("etc/containers/storage.rootless.conf.d/1000/2.conf", &says("/mine"))
                .file("etc/containers/storage.rootful.conf.d/1.conf", &says("/rootful"))
        };
        let expected = if root { "/rootful" } else { "/mine" };
        assert_eq!(graph(drop_ins(all(root))), expected);
        let named = |machine: Machine| {
            machine.file("named", &says("/named")).var_path("CONTAINERS_STORAGE_CONF", "named")
        };
        assert_eq!(graph(named(drop_ins(all(root)))), "/named");
        let last = named(drop_ins(all(root)))
            .file("last", &says("/last"))
            .var_path("CONTAINERS_STORAGE_CONF_OVERRIDE", "last");
        assert_eq!(graph(last), "/last");
        let missing = all(root).var_path("CONTAINERS_STORAGE_CONF", "missing");
        let error = load(&missing).unwrap_err();
        assert_eq!(
            missing.plain(&error),
            "loading storage configuration \"/missing\": open /missing: no such file or directory"
        );
    }
}

#[test]
fn paths_are_expanded() {
    let machine = |file: &str| {
        Machine::new()
            .file(ADMIN, file)
            .file("target/x", "")
            .var("DATA", "/data")
            .var_path("XDG_RUNTIME_DIR", "home")
    };
    for (line, expected) in [
        ("graphroot = '/x/$UID/$DATA'", "/x/1000/data"),
        ("graphroot = '${DATA}more/y'", "/datamore/y"),
        ("graphroot = '/x/$NOTHING/y/../z'", "/x/z"),
        ("graphroot = '$HOME/store'", "/home/store"),
        ("rootless_storage_path = '/r/$UID'", "/r/1000"),
        // The one that is not deprecated wins.
        ("rootless_storage_path = '/r'\ngraphroot = '/g'", "/g"),
        // Nothing is as good as absent.
        ("graphroot = ''\nrootless_storage_path = ''", "/home/.local/share/containers/storage"),
    ] {
        let machine = machine(&format!("[storage]\n{line}"));
        let found = load(&machine).unwrap().graph_root.display().to_string();
        assert_eq!(found.replace(machine.root().to_str().unwrap(), ""), expected, "{line}");
    }
    // Links are resolved.
    let machine = machine("");
    std::os::unix::fs::symlink(machine.path("target"), machine.path("link")).unwrap();
    let text = format!("[storage]\ngraphroot = '{}'", machine.path("link").display());
    machine.write(ADMIN, &text);
    assert_eq!(load(&machine).unwrap().graph_root, machine.path("target"));
    // Root has no use for the users' path.
    let root = Machine::new().rootful().file(ADMIN, "[storage]\nrootless_storage_path = '/r'");
    assert_eq!(load(&root).unwrap().graph_root, root.path("var/lib/containers/storage"));
}

#[test]
fn options_in_their_order() {
    let text = "[storage]\ndriver = 'overlay'\n[storage.options]\nmountopt = 'nodev'\n\
                ignore_chown_errors = 'true'\nforce_mask = 0o700\n\
                additionalimagestores = ['/', '/tmp']\n[storage.options.Overlay]\n\
                mountopt = 'nosuid'\nforce_mask = 'shared'\n[storage.options.vfs]\nsync = 'none'\n";
    let machine = Machine::new().rootful().file(ADMIN, text);
    let found = machine.config().store(None).unwrap();
    let expected = [
        "imagestore=/",
        "imagestore=/tmp",
        "ignore_chown_errors=true",
        "force_mask=700",
        "mountopt=nodev",
        "overlay.mountopt=nosuid",
        "overlay.force_mask=shared",
        "vfs.sync=none",
    ];
    assert_eq!(found.options, expected);
    assert_eq!(found.additional_stores, [Path::new("/"), Path::new("/tmp")]);
    assert!(found.ignore_chown_errors && !found.mount_program);
    assert_eq!(found.force_mask, Some(0o755));
    // The environment replaces all of them, also by none.
    for (value, expected) in [
        ("", &[][..]),
        ("overlay.force_mask=private,size=1", &["overlay.force_mask=private", "size=1"]),
    ] {
        let machine = Machine::new().rootful().file(ADMIN, text).var("STORAGE_OPTS", value);
        assert_eq!(machine.config().store(None).unwrap().options, expected);
    }
}

#[test]
fn lists_can_be_added_to() {
    let machine = |drop_in: &str| {
        Machine::new()
            .rootful()
            .file(ADMIN, "[storage.options]\nadditionalimagestores = ['/a']")
            .file(
                "etc/containers/storage.conf.d/1.conf",
                &format!("[storage.options]\nadditionalimagestores = {drop_in}"),
            )
    };
    for (drop_in, expected) in [
        ("['/b', {append = true}]", "imagestore=/a imagestore=/b"),
        ("['/b', {append = false}]", "imagestore=/b"),
        ("['/b']", "imagestore=/b"),
        ("[]", ""),
    ] {
        assert_eq!(load(&machine(drop_in)).unwrap().options.join(" "), expected);
    }
    for (drop_in, expected) in [
        ("['/b', {append = 1}]", "unable to cast append to bool"),
        ("['/b', {prepend = true}]", "unsupported key \"prepend\" in map"),
        ("[1]", "unsupported item in attributed string slice: integer"),
    ] {
        let error = load(&machine(drop_in)).unwrap_err();
        assert!(error.chain().contains(expected), "{}", error.chain());
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (text, expected) in [
        (
            "[storage]\ndriver = 'btrfs'",
            "storage driver \"btrfs\" is not supported: this program supports overlay and vfs",
        ),
        (
            "[storage]\ndriver = 'overlay'\n[storage.options.overlay]\nmount_program='/none'",
            "overlay: can't stat program \"/none\": stat /none: no such file or directory",
        ),
        (
            "[storage]\ndriver = 'vfs'\n[storage.options]\nmountopt='x'",
            "vfs driver does not support mount options",
        ),
        (
            "[storage]\ndriver = 'vfs'\n[storage.options]\nsize='x'",
            "unknown option \"size\" (\"size=x\")",
        ),
        (
            "[storage]\n[storage.options]\nadditionalimagestores=['x']",
            "overlay: image path \"x\" is not absolute.  Can not be relative",
        ),
        (
            "[storage]\n[storage.options]\nignore_chown_errors='yes'",
            "strconv.ParseBool: parsing \"yes\": invalid syntax",
        ),
        (
            "[storage]\ngraphroot='/x'\nimagestore='/x'",
            "imagestore /x must either be not set or be different than graphroot",
        ),
        (
            "[storage]\ntransient_store='yes'",
            "loading storage configuration \"/etc/containers/storage.conf\": invalid type: string \"yes\", expected a boolean",
        ),
        (
            "[storage",
            "loading storage configuration \"/etc/containers/storage.conf\": toml: line 1: unclosed table, expected `]`",
        ),
    ] {
        assert_eq!(store(&Machine::new().rootful().file(ADMIN, text)), expected, "{text}");
    }
    let unknown = |options| Machine::new().rootful().var("STORAGE_OPTS", options);
    for (options, expected) in [
        ("overlay.nothing=1", "unknown option \"nothing\" (\"overlay.nothing=1\")"),
        ("aufs.size=1", "unknown driver \"aufs\" in option \"aufs.size=1\""),
        ("size", "unable to parse storage-opt key/value \"size\""),
    ] {
        assert_eq!(store(&unknown(options)), expected);
    }
}

#[test]
fn the_driver_is_found_out() {
    let machine = |there: &[&str], text: &str| {
        let mut machine = Machine::new().rootful().file(ADMIN, text);
        for driver in there {
            machine = machine.file(&format!("var/lib/containers/storage/{driver}/x"), "");
        }
        machine
    };
    let driver = |machine: &Machine| match machine.config().store(None) {
        Ok(store) => store.driver.to_string(),
        Err(error) => machine.plain(&error),
    };
    for (there, text, expected) in [
        (&[][..], "", "overlay"),
        (&["overlay"], "", "overlay"),
        // A store stays what it is.
        (&["vfs"], "", "vfs"),
        (&["vfs"], "[storage]\ndriver_priority = ['vfs', 'overlay']", "vfs"),
        (&[], "[storage]\ndriver_priority = ['vfs', 'overlay']", "vfs"),
        (&["overlay", "vfs"], "[storage]\ndriver = 'vfs'", "vfs"),
        (&[], "[storage]\ndriver = 'overlay2'", "overlay"),
        (
            &["btrfs"],
            "",
            "storage driver \"btrfs\" is not supported: this program supports overlay and vfs",
        ),
        (
            &["overlay", "vfs"],
            "",
            "/var/lib/containers/storage contains several valid graphdrivers: overlay, vfs; Please \
             cleanup or explicitly choose storage driver (-s <DRIVER>)",
        ),
    ] {
        assert_eq!(driver(&machine(there, text)), expected, "{there:?} {text}");
    }
    let told = machine(&["overlay"], "[storage]\ndriver = 'overlay'").var("STORAGE_DRIVER", "vfs");
    assert_eq!(driver(&told), "vfs");
}

/// Where nothing is named and nothing is there, a user's store is what the podman of the machine
/// would begin.
#[test]
fn a_user_gets_the_driver_of_podman() {
    let podman =
        |version: &str| Machine::new().program("podman", &format!("echo podman version {version}"));
    let named = |machine: Machine| machine.file(ADMIN, "[storage]\ndriver = 'overlay'");
    let first = "[storage]\ndriver_priority = ['overlay', 'vfs']";
    for (machine, expected) in [
        (Machine::new(), "overlay"),
        (podman("4.3.1"), "vfs"),
        (podman("3.4.4"), "vfs"),
        (podman("4.6.0"), "overlay"),
        (podman("5.4.2"), "overlay"),
        (podman("of its own"), "overlay"),
        (named(podman("4.3.1")), "overlay"),
        (podman("4.3.1").file(ADMIN, first), "overlay"),
        // Root's podman always tries overlay.
        (podman("4.3.1").rootful(), "overlay"),
        // A store stays what it is.
        (podman("4.3.1").file("home/.local/share/containers/storage/overlay/x", ""), "overlay"),
        (podman("5.4.2").file("home/.local/share/containers/storage/vfs/x", ""), "vfs"),
    ] {
        assert_eq!(machine.config().store(None).unwrap().driver.to_string(), expected);
    }
}

#[test]
fn a_name_replaces_what_files_say() {
    let machine = Machine::new().rootful().file(
        ADMIN,
        "[storage]\ndriver = 'vfs'\ngraphroot='/g'\nrunroot='/r'\ntransient_store = true\n\
         [storage.options]\nignore_chown_errors='true'",
    );
    let path = |path: &str| Some(PathBuf::from(path));
    let spec = StoreSpec { graph_root: path("/mine"), ..StoreSpec::default() };
    let found = machine.config().store(Some(&spec)).unwrap();
    assert_eq!(shown(&machine, &found), "overlay /mine /r");
    assert!(!found.transient && !found.ignore_chown_errors && found.options.is_empty());
    let spec = StoreSpec {
        driver: Some("vfs".to_owned()),
        run_root: path("/run/mine"),
        options: vec!["ignore_chown_errors=true".to_owned()],
        ..spec
    };
    let found = machine.config().store(Some(&spec)).unwrap();
    assert_eq!(shown(&machine, &found), "vfs /mine /run/mine");
    assert!(found.ignore_chown_errors);
}
