//! What a person sees in a terminal: bars of one row each at every width, what is said when a run
//! is interrupted, colours.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use skopeo_testkit::terminal::Terminal;
use skopeo_testkit::{Fault, Home, Image, On, Registry};

use crate::resume::part;
use crate::stage::{SKOPEO, finish, home, start, whole_dir};

const MIB: u64 = 1 << 20;
const LAYERS: usize = 3;

/// A registry whose layers fall silent when half of them has come.
struct Stage {
    registry: Registry,
    home: Home,
    image: Image,
}

fn stage() -> Stage {
    let image = Image::builder(1).layers(LAYERS).layer_size(6_000_000).build();
    let registry = Registry::start();
    image
        .push(&registry, "library/a-name-that-is-longer-than-the-terminal-is-wide/app:1.25-alpine");
    let home = home(&[&registry.host()]);
    Stage { registry, home, image }
}

impl Stage {
    fn source(&self) -> String {
        let name = "library/a-name-that-is-longer-than-the-terminal-is-wide/app:1.25-alpine";
        self.registry.docker(name)
    }

    /// Every layer falls silent after so many bytes.
    fn stall(&self, after: u64) {
        for (digest, bytes) in self.image.blobs() {
            if bytes.len() as u64 > MIB {
                self.registry
                    .fault(Fault::stall(On::blobs().containing(digest.hex())).after(after));
            }
        }
    }
}

/// The rows that are bars: of blobs, or of images.
fn bars(rows: &[String]) -> Vec<&String> {
    rows.iter()
        .filter(|row| row.contains("MiB /") || row.contains("[=") || row.contains("[-"))
        .collect()
}

/// Whether it is one of the lines that stay.
fn is_line(row: &str) -> bool {
    row.starts_with("Getting image") || row.starts_with("Copying config") && row.ends_with("done")
}

fn bars_of_layers(rows: &[String]) -> bool {
    let bars = bars(rows);
    bars.len() == LAYERS && bars.iter().all(|row| row.contains("blob ") && row.contains("2.00 MiB"))
}

#[test]
fn bars_have_one_row_at_every_width() {
    for columns in [40, 80, 200] {
        let stage = stage();
        stage.stall(2 * MIB);
        let mut terminal = Terminal::start(
            &stage.home,
            columns,
            SKOPEO,
            &["--idle-timeout=5m", "copy", &stage.source(), "dir:to"],
        );
        let rows = terminal.wait(bars_of_layers);
        // The original's lines, and nothing beside the bars.
        let lines = rows.iter().filter(|row| is_line(row)).count();
        assert_eq!(rows.len(), lines + LAYERS, "{columns}\n{}", rows.join("\n"));
        for (other, shown) in [(60, "MiB /"), (33, "blob "), (120, "[==")] {
            terminal.resize(other);
            let narrow = |row: &String| row.len() < usize::from(other);
            terminal.wait(|rows| {
                let bars: Vec<_> = rows.iter().filter(|row| !is_line(row)).collect();
                bars.len() == LAYERS
                    && bars.iter().all(|row| row.contains(shown))
                    && rows.iter().all(narrow)
            });
        }
        stage.registry.mend();
        kill_process(terminal.pid(), Signal::INT).unwrap();
        let (status, rows) = terminal.finish();
        assert_eq!(status.code(), Some(130), "{rows:?}");
        assert!(bars(&rows).is_empty(), "{}", rows.join("\n"));
    }
}

#[test]
fn an_interruption_leaves_the_screen_whole_and_says_how_to_go_on() {
    let stage = stage();
    stage.stall(2 * MIB);
    let arguments = ["copy", &stage.source(), "dir:to"];
    let mut terminal = Terminal::start(&stage.home, 80, SKOPEO, &arguments);
    terminal.wait(bars_of_layers);
    terminal.enter("\x03");
    let (status, rows) = terminal.finish();
    assert_eq!(status.code(), Some(130));
    let rows: Vec<&String> = rows.iter().filter(|row| !is_line(row)).collect();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].starts_with("FATA[") && rows[0].ends_with("] interrupted"), "{rows:?}");
    assert_eq!(
        rows[1],
        "hint: run the same command again; data that was copied already is not copied again"
    );
    // And so it is. What had come is no speed: nothing moves but a few bytes.
    assert!(part(&stage.home.path("work/to")).is_some());
    stage.registry.mend();
    stage.stall(20_000);
    let mut terminal = Terminal::start(&stage.home, 120, SKOPEO, &arguments);
    let rows = terminal.wait(|rows| {
        let bars = bars(rows);
        bars.len() == LAYERS && bars.iter().all(|row| row.contains("B/s"))
    });
    for row in bars(&rows) {
        assert!(row.contains("MiB / ") && !row.contains("MiB/s"), "{row}");
    }
    terminal.enter("\x03");
    assert_eq!(terminal.finish().0.code(), Some(130));
    stage.registry.mend();
    let mut terminal = Terminal::start(&stage.home, 80, SKOPEO, &arguments);
    let (status, rows) = terminal.finish();
    assert!(status.success(), "{rows:?}");
    assert_eq!(whole_dir(&stage.home.path("work/to")), Some(stage.image.digest()));
    assert!(bars(&rows).is_empty(), "{}", rows.join("\n"));
    assert_eq!(rows.iter().filter(|row| row.starts_with("Copying blob")).count(), LAYERS);
    assert_eq!(rows.last().map(String::as_str), Some("Writing manifest to image destination"));
}

#[test]
fn an_interruption_of_what_keeps_nothing_says_so() {
    let stage = stage();
    stage.stall(2 * MIB);
    for (to, hint) in [
        ("docker-archive:a.tar", "run the same command again; nothing was written"),
        ("oci-archive:b.tar", "run the same command again; nothing was written"),
        ("oci:c:1", "run the same command again; data that was copied already is not copied again"),
    ] {
        let mut terminal =
            Terminal::start(&stage.home, 100, SKOPEO, &["copy", &stage.source(), to]);
        terminal.wait(|rows| bars(rows).iter().any(|row| row.contains("MiB /")));
        terminal.enter("\x03");
        let (status, rows) = terminal.finish();
        assert_eq!(status.code(), Some(130));
        assert_eq!(rows.last(), Some(&format!("hint: {hint}")), "{to}: {rows:?}");
        assert!(bars(&rows).is_empty(), "{}", rows.join("\n"));
    }
}

#[test]
fn bars_of_a_sync_show_the_tag_and_how_many() {
    let stage = stage();
    stage.stall(2 * MIB);
    let source = stage.source();
    let source = source.strip_prefix("docker://").unwrap();
    for columns in [80, 200] {
        let folder = format!("to-{columns}");
        let arguments = ["sync", "--src=docker", "--dest=dir", source, &folder];
        let mut terminal = Terminal::start(&stage.home, columns, SKOPEO, &arguments);
        terminal.wait(|rows| {
            rows.iter().any(|row| row.starts_with("Images") && row.contains("0/1"))
                && rows.iter().any(|row| row.contains(":1.25-alpine") && row.contains("MiB /"))
        });
        terminal.enter("\x03");
        let (status, rows) = terminal.finish();
        assert_eq!(status.code(), Some(130));
        let text = rows.join("\n");
        assert!(!text.contains("MiB /") && !text.contains("Images "), "{text}");
        assert!(text.contains("interrupted"), "{text}");
    }
}

/// Three images of one layer each, under names that are longer than most terminals are wide.
fn several() -> (Registry, Home, Vec<Image>, String) {
    let registry = Registry::start();
    let repository = "library/a-name-that-is-longer-than-the-terminal-is-wide/app";
    let image = |seed| Image::builder(seed).layers(1).layer_size(6_000_000).build();
    let images: Vec<Image> = [21, 22, 23].map(image).into();
    for (at, image) in images.iter().enumerate() {
        image.push(&registry, &format!("{repository}:1.2{at}-alpine"));
    }
    let home = home(&[&registry.host()]);
    let source = format!("{}/{repository}", registry.host());
    (registry, home, images, source)
}

fn stall_all(registry: &Registry, images: &[Image], after: u64) {
    for (digest, _) in images.iter().flat_map(Image::blobs).filter(|blob| blob.1.len() > 1 << 20) {
        registry.fault(Fault::stall(On::blobs().containing(digest.hex())).after(after));
    }
}

/// Each image has one row, with the end of its name, and the run has one above them.
fn one_row_each(rows: &[String], shown: &str) -> bool {
    let bars: Vec<&String> =
        rows.iter().filter(|row| row.contains("-alpine ") && row.contains("MiB /")).collect();
    let run = rows.iter().filter(|row| row.starts_with("Images ") && row.contains(" 0/3"));
    bars.len() == 3
        && run.count() == 1
        && bars.iter().all(|row| row.contains(shown))
        && (0..3).all(|at| bars.iter().any(|row| row.contains(&format!(":1.2{at}-alpine "))))
}

#[test]
fn bars_of_several_images_have_one_row_each_at_every_width() {
    for columns in [40, 80, 200] {
        let (registry, home, images, source) = several();
        stall_all(&registry, &images, 2 * MIB);
        let words = ["--idle-timeout=5m", "sync", "--src=docker", "--dest=dir", &source, "to"];
        let mut terminal = Terminal::start(&home, columns, SKOPEO, &words);
        terminal.wait(|rows| one_row_each(rows, "2.0"));
        for (other, shown) in [(60, "MiB /"), (180, "[="), (40, "MiB /"), (columns, "MiB /")] {
            terminal.resize(other);
            let rows = terminal.wait(|rows| one_row_each(rows, shown));
            let longest = bars(&rows).into_iter().map(|row| row.chars().count()).max();
            assert!(longest <= Some(usize::from(other)), "{other}:\n{}", rows.join("\n"));
        }
        terminal.enter("\x03");
        let (status, rows) = terminal.finish();
        assert_eq!(status.code(), Some(130));
        let text = rows.join("\n");
        assert!(!text.contains("MiB /") && !text.contains("\nImages "), "{columns}:\n{text}");
        assert!(text.contains("] interrupted") && text.contains("hint: run the same"), "{text}");
        assert!(rows.iter().any(|row| row.starts_with("unfinished ") && row.ends_with(" 3")));
    }
}

#[test]
fn what_a_sync_finds_there_is_no_speed_and_no_bar_stays() {
    let (registry, home, images, source) = several();
    stall_all(&registry, &images, 3 * MIB);
    let words = ["sync", "--src=docker", "--dest=dir", &source, "to"];
    let mut terminal = Terminal::start(&home, 100, SKOPEO, &words);
    terminal.wait(|rows| one_row_each(rows, " 3.00 MiB /"));
    terminal.enter("\x03");
    assert_eq!(terminal.finish().0.code(), Some(130));
    registry.mend();
    stall_all(&registry, &images, 20_000);
    let mut terminal = Terminal::start(&home, 120, SKOPEO, &words);
    let rows = terminal.wait(|rows| one_row_each(rows, "B/s"));
    for row in rows.iter().filter(|row| row.contains("MiB /")) {
        // Most of it was there, and nothing but a few bytes moves.
        assert!(!row.contains("MiB/s") && !row.contains(" KiB / "), "{row}");
    }
    terminal.enter("\x03");
    assert_eq!(terminal.finish().0.code(), Some(130));
    registry.mend();
    let mut terminal = Terminal::start(&home, 80, SKOPEO, &words);
    let (status, rows) = terminal.finish();
    let text = rows.join("\n");
    assert!(status.success(), "{text}");
    assert!(!text.contains("MiB /") && !text.contains("\nImages "), "{text}");
    assert!(rows.iter().any(|row| row.starts_with("copied ") && row.ends_with(" 3")), "{text}");
    for (at, image) in images.iter().enumerate() {
        let folder = home.path(format!("work/to/app:1.2{at}-alpine"));
        assert_eq!(whole_dir(&folder), Some(image.digest()));
    }
}

#[test]
fn a_script_is_told_of_an_interruption_too() {
    let stage = stage();
    stage.stall(2 * MIB);
    let child = start(&stage.home, &["copy", &stage.source(), "dir:to"]);
    while part(&stage.home.path("work")).is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let run = finish(child, "a copy that is ended");
    assert_eq!(run.code, Some(143), "{run}");
    assert!(run.stderr.contains(" level=fatal msg=interrupted\nhint: run the same"), "{run}");
}

#[test]
fn colours_are_shown_unless_they_are_not_wanted() {
    let coloured = |variable: Option<(&str, &str)>| {
        let mut home = Home::new();
        if let Some((name, value)) = variable {
            home = home.variable(name, value);
        }
        let mut terminal = Terminal::start(&home, 80, SKOPEO, &["inspect", "dir:missing"]);
        let (status, rows) = terminal.finish();
        assert!(!status.success());
        assert!(rows[0].starts_with("FATA[0000] "), "{rows:?}");
        terminal.written().contains("\x1b[31m")
    };
    assert!(coloured(None));
    assert!(coloured(Some(("NO_COLOR", ""))), "an empty variable says nothing");
    assert!(!coloured(Some(("NO_COLOR", "1"))));
    assert!(!coloured(Some(("TERM", "dumb"))));
}

#[test]
fn a_terminal_that_can_move_no_cursor_gets_lines() {
    let stage = stage();
    let home = home(&[&stage.registry.host()]).variable("TERM", "dumb");
    let mut terminal = Terminal::start(&home, 80, SKOPEO, &["copy", &stage.source(), "dir:to"]);
    let (status, _) = terminal.finish();
    assert!(status.success());
    assert!(!terminal.written().contains('\x1b'), "{:?}", terminal.written());
}
