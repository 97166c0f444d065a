//! Copying through a bad line. Whatever goes wrong: the right result, or a failure that says what
//! it was; never a part of an image under its name, never a hang.

mod destinations;

use std::io::Write;

use skopeo_image::{Digest, MediaType};
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run, TokenAuth};

use crate::script::{Script, head, respond};
use crate::stage::{for_each, home, sentence, skopeo, whole_dir, whole_layout};

/// So that what is silent is not silent for long.
const IDLE: [&str; 2] = ["--idle-timeout", "500ms"];

/// How a copy is to end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// With the image, byte for byte.
    Right,
    /// With an error that contains this.
    Named(&'static str),
}

use End::{Named, Right};

/// Three layers, of about 200 kB each.
fn image(seed: u64) -> Image {
    Image::builder(seed).layers(3).layer_size(300_000).build()
}

fn in_blobs() -> On {
    On::blobs()
}

/// Everything that goes wrong where an image comes from.
fn source_faults() -> Vec<Row> {
    let blobs = in_blobs;
    let manifests = On::manifests;
    let silent = "nothing received";
    vec![
        ("blobs cut", vec![Fault::cut(blobs()).after(70_000).times(3)], Right),
        ("blobs always cut at once", vec![Fault::cut(blobs())], Named("unexpected EOF")),
        ("manifest cut", vec![Fault::cut(manifests()).after(100).times(2)], Right),
        ("manifest always cut", vec![Fault::cut(manifests()).after(100)], Named("unexpected EOF")),
        ("429 on blobs", vec![Fault::status(blobs(), 429).retry_after(1).times(2)], Right),
        ("429 on all", vec![Fault::status(On::anything(), 429).retry_after(0).times(3)], Right),
        (
            "429 for ever",
            vec![Fault::status(blobs(), 429).retry_after(0)],
            Named("toomanyrequests"),
        ),
        ("500 on blobs", vec![Fault::status(blobs(), 500).times(2)], Right),
        ("503 on all", vec![Fault::status(On::anything(), 503).times(2)], Right),
        ("502 on manifests", vec![Fault::status(manifests(), 502).once()], Right),
        ("500 for ever", vec![Fault::status(blobs(), 500)], Named("500 Internal Server Error")),
        ("503 manifests", vec![Fault::status(manifests(), 503)], Named("503 Service Unavailable")),
        (
            "range ignored",
            vec![Fault::cut(blobs()).after(70_000).times(2), Fault::ignore_range(blobs()).times(2)],
            Right,
        ),
        (
            "range answered 416",
            vec![
                // Of one layer: of several at once, the first cut may be another's, and 416 would be
                // the answer to a request for no range.
                Fault::cut(blobs().containing(&image(1).layers()[0].digest)).after(70_000).once(),
                Fault::status(blobs().containing(&image(1).layers()[0].digest), 416).once(),
            ],
            Right,
        ),
        (
            "range ignored, then cut",
            vec![
                Fault::cut(blobs()).after(70_000).once(),
                Fault::ignore_range(blobs()).once(),
                Fault::cut(blobs()).after(150_000).once(),
            ],
            Right,
        ),
        ("wrong digest header of a blob", vec![Fault::wrong_digest(blobs())], Right),
        (
            "wrong bytes once",
            vec![Fault::corrupt(blobs()).after(100_000).once()],
            Named("Digest did not match"),
        ),
        (
            "wrong bytes",
            vec![Fault::corrupt(blobs()).after(100_000)],
            Named("Digest did not match"),
        ),
        ("wrong manifest", vec![Fault::corrupt(manifests())], Named("manifest")),
        (
            "wrong digest header of a manifest",
            vec![Fault::wrong_digest(manifests())],
            Named("Manifest does not match provided manifest digest"),
        ),
        ("silent blob once", vec![Fault::stall(blobs()).after(70_000).once()], Right),
        ("silent blobs", vec![Fault::stall(blobs()).after(20_000)], Named(silent)),
        ("no answer once", vec![Fault::silence(blobs()).once()], Right),
        ("no manifest, no answer once", vec![Fault::silence(manifests()).once()], Right),
        ("no answer", vec![Fault::silence(blobs())], Named(silent)),
        ("silent manifest", vec![Fault::stall(manifests()).after(50)], Named(silent)),
        ("403 on HEAD", vec![Fault::head_forbidden()], Right),
        ("longer than said", vec![Fault::content_length(blobs(), -1000)], Named("blob")),
        ("shorter than said", vec![Fault::content_length(blobs(), 1000)], Named("")),
        ("too much", vec![Fault::too_much(blobs(), 1000)], Named("blob")),
        ("manifest shorter than said", vec![Fault::content_length(manifests(), 10)], Named("EOF")),
        (
            "manifest longer than said",
            vec![Fault::content_length(manifests(), -10)],
            Named("manifest"),
        ),
        ("hang up once", vec![Fault::hang_up(blobs()).times(2)], Right),
        ("hang up on manifests once", vec![Fault::hang_up(manifests()).once()], Right),
        ("hang up", vec![Fault::hang_up(blobs())], Named("")),
        ("redirect", vec![Fault::redirect(blobs())], Right),
        ("redirect of a few", vec![Fault::redirect(blobs()).times(2)], Right),
        ("no content type", vec![Fault::no_header(manifests(), "content-type")], Right),
        ("odd content type", vec![Fault::header(manifests(), "content-type", "text/plain")], Right),
        ("404", vec![Fault::status(blobs(), 404).code("BLOB_UNKNOWN", "gone")], Named("gone")),
        ("401 once", vec![Fault::status(blobs(), 401).once()], Right),
        ("403", vec![Fault::status(blobs(), 403)], Named("denied")),
        ("400", vec![Fault::status(manifests(), 400).code("UNKNOWN", "odd")], Named("odd")),
    ]
}

type Row = (&'static str, Vec<Fault>, End);

/// Without the rows that take long until nothing is left to be tried: once is enough for these.
fn quick(rows: Vec<Row>) -> Vec<Row> {
    let slow = |end: End| matches!(end, Named("nothing received" | "unexpected EOF" | "EOF"));
    rows.into_iter().filter(|row| !slow(row.2)).collect()
}

#[test]
fn from_a_registry_into_a_layout() {
    for_each(source_faults(), |row| from_source(row, "oci"));
}

#[test]
fn from_a_registry_into_a_folder() {
    for_each(quick(source_faults()), |row| from_source(row, "dir"));
}

#[test]
fn from_a_registry_into_a_registry() {
    for_each(quick(source_faults()), |row| from_source(row, "docker"));
}

/// Copies over an older image, which must survive a failure.
#[track_caller]
fn from_source((what, faults, end): (&str, Vec<Fault>, End), kind: &str) {
    let (image, older) = (image(1), image(2));
    let source = Registry::builder().token_auth(TokenAuth::new()).start();
    image.push(&source, "lib/image:v1");
    for fault in faults {
        source.fault(fault);
    }
    let target = Registry::start();
    let home = home(&[&source.host(), &target.host()]);
    let folder = home.path("work/folder");
    let (destination, named): (String, Box<dyn Fn() -> Option<Digest>>) = match kind {
        "oci" => {
            older.write_oci(&folder, Some("v1"));
            let named = || whole_layout(&folder).remove("v1");
            (format!("oci:{}:v1", folder.display()), Box::new(named))
        }
        // What stands in a folder is replaced, so there is nothing to survive.
        "dir" => (format!("dir:{}", folder.display()), Box::new(|| whole_dir(&folder))),
        _ => {
            older.push(&target, "to/image:v1");
            (target.docker("to/image:v1"), Box::new(|| tag(&target, "to/image", "v1")))
        }
    };
    let run = copy(&home, &source.docker("lib/image:v1"), &destination, &[]);
    let before = (kind != "dir").then(|| older.digest());
    let what = format!("{what} to {kind}");
    check(&what, &run, end, named(), &image.digest(), before.as_ref(), &source);
}

#[track_caller]
fn check(
    what: &str,
    run: &Run,
    end: End,
    named: Option<Digest>,
    wanted: &Digest,
    before: Option<&Digest>,
    registry: &Registry,
) {
    let seen = || {
        registry.requests().iter().map(|s| format!("{} {}", s.line(), s.status)).collect::<Vec<_>>()
    };
    match end {
        Right => {
            assert!(run.code == Some(0), "{what}: {run}\n{:#?}", seen());
            assert_eq!(named.as_ref(), Some(wanted), "{what}: {run}");
        }
        Named(words) => {
            assert!(run.code == Some(1), "{what}: {run}\n{:#?}", seen());
            let sentence = sentence(run);
            assert!(sentence.contains(words), "{what}: {sentence}");
            assert_eq!(named.as_ref(), before, "{what}: {run}");
        }
    }
}

fn copy(home: &Home, from: &str, to: &str, more: &[&str]) -> Run {
    let mut arguments = IDLE.to_vec();
    arguments.extend(["copy", "--quiet", from, to]);
    arguments.extend(more);
    skopeo(home, &arguments)
}

/// What a tag of a registry stands for, whole.
#[track_caller]
fn tag(registry: &Registry, repository: &str, tag: &str) -> Option<Digest> {
    whole_layout(&registry.root().join(repository)).remove(tag)
}

/// Tokens that are good for as many requests as are under way at once: all the time some fail.
#[test]
fn tokens_that_expire_all_the_time() {
    let image = image(1);
    for uses in [6, 9] {
        let tokens = || TokenAuth::new().user("u", "p").private().uses(uses);
        let source = Registry::builder().token_auth(tokens()).start();
        let target = Registry::builder().token_auth(tokens()).start();
        image.push(&source, "from/image:v1");
        let home = home(&[&source.host(), &target.host()]);
        let creds = ["--src-creds", "u:p", "--dest-creds", "u:p"];
        let run =
            copy(&home, &source.docker("from/image:v1"), &target.docker("to/image:v1"), &creds);
        assert!(run.code == Some(0), "{uses}: {run}\n{:#?}", target.lines());
        assert_eq!(tag(&target, "to/image", "v1"), Some(image.digest()));
    }
}

/// Where the line breaks again and again, no byte is fetched twice.
#[test]
fn a_cut_download_goes_on_where_it_was_cut() {
    let image = Image::builder(1).layers(1).layer_size(3_000_000).build();
    let layer = &image.layers()[0];
    let size = layer.bytes.len() as u64;
    for kind in ["oci", "dir", "docker"] {
        let source = Registry::builder().fault(Fault::cut(On::blobs()).after(400_000)).start();
        image.push(&source, "lib/image:v1");
        let target = Registry::start();
        let home = home(&[&source.host(), &target.host()]);
        let destination = match kind {
            "oci" => "oci:folder:v1".to_owned(),
            "dir" => "dir:folder".to_owned(),
            _ => target.docker("to/image:v1"),
        };
        copy(&home, &source.docker("lib/image:v1"), &destination, &[]).success();
        let requests = source.requests();
        let parts = requests.iter().filter(|seen| seen.target.contains(layer.digest.as_str()));
        let parts: Vec<_> = parts.collect();
        let sent: u64 = parts.iter().map(|seen| seen.sent).sum();
        assert!(parts.len() as u64 >= size / 400_000, "{kind}: it was cut: {parts:#?}");
        assert!(parts[1..].iter().all(|seen| seen.status == 206), "{kind}: {parts:#?}");
        // What was on its way when the line broke may be sent again.
        assert!(sent < size + size / 4, "{kind}: {sent} bytes for {size}");
    }
}

/// The object store's addresses are good for one answer: who resumes has to ask the registry again.
#[test]
fn a_redirect_that_expires() {
    let image = Image::builder(1).layers(1).layer_size(600_000).build();
    let store_blobs = image.blobs();
    let store = Script::start(move |ask, stream| {
        let path = ask.target.split('?').next().unwrap_or_default();
        let Some((_, bytes)) = store_blobs.iter().find(|(d, _)| path.ends_with(d.as_str())) else {
            return respond(stream, "404 Not Found", &[], b"");
        };
        if !ask.header("authorization").is_empty() {
            return respond(stream, "400 Bad Request", &[], b"two kinds of authorization");
        }
        static USED: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
        let mut used = USED.lock().unwrap();
        if used.contains(&ask.target) {
            return respond(stream, "403 Forbidden", &[], b"<Error>AccessDenied</Error>");
        }
        used.push(ask.target.clone());
        let range = ask.header("range").strip_prefix("bytes=").and_then(|r| r.split_once('-'));
        let first: usize = range.map_or(0, |(first, _)| first.parse().unwrap());
        let rest = &bytes[first..];
        let content = format!("Content-Range: bytes {first}-{}/{}", bytes.len() - 1, bytes.len());
        let (status, headers) = match range {
            Some(_) => ("206 Partial Content", vec![content.as_str()]),
            None => ("200 OK", Vec::new()),
        };
        head(stream, status, &headers, Some(rest.len() as u64))?;
        stream.write_all(&rest[..rest.len().min(150_000)])
    });
    let (manifest, place) = (image.manifest().clone(), store.host());
    let count = std::sync::atomic::AtomicUsize::new(0);
    let registry = Script::start(move |ask, stream| {
        if ask.target.contains("/manifests/") {
            let content_type = format!("Content-Type: {}", manifest.media_type);
            let body = if ask.method == "HEAD" { &[][..] } else { &manifest.bytes };
            head(stream, "200 OK", &[&content_type], Some(manifest.bytes.len() as u64))?;
            return stream.write_all(body);
        }
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let location = format!("Location: http://{place}{}?signature={number}", ask.target);
        respond(stream, "307 Temporary Redirect", &[&location], b"")
    });
    let home = home(&[&registry.host()]);
    let auth = ["--src-registry-token", "secret"];
    copy(&home, &registry.docker("lib/image:v1"), "oci:folder:v1", &auth).success();
    let named = whole_layout(&home.path("work/folder"));
    assert_eq!(named["v1"], image.digest());
    let asked = store.asked();
    let layer = &image.layers()[0];
    let parts = asked.iter().filter(|ask| ask.target.contains(layer.digest.as_str())).count();
    assert!(parts >= layer.bytes.len() / 150_000, "{asked:#?}");
}

#[test]
fn what_is_asked_about_images_and_tags() {
    let faults = || {
        let anything = On::anything;
        vec![
            ("500", vec![Fault::status(anything(), 500).times(2)], Right),
            ("429", vec![Fault::status(anything(), 429).retry_after(1).once()], Right),
            ("hang up", vec![Fault::hang_up(anything()).times(2)], Right),
            ("silence", vec![Fault::silence(anything()).once()], Right),
            ("cut", vec![Fault::cut(anything()).after(20).times(2)], Right),
            ("stall", vec![Fault::stall(anything()).after(20).once()], Right),
            ("403 on HEAD", vec![Fault::head_forbidden()], Right),
            ("503 for ever", vec![Fault::status(anything(), 503)], Named("503")),
            ("cut for ever", vec![Fault::cut(anything()).after(20)], Named("unexpected EOF")),
            ("too short", vec![Fault::content_length(anything(), -5)], Named("")),
            ("too long", vec![Fault::content_length(anything(), 5)], Named("EOF")),
        ]
    };
    let commands = [["inspect", "--no-tags"], ["inspect", "--raw"], ["list-tags", ""]];
    let rows =
        commands.iter().flat_map(|command| faults().into_iter().map(move |row| (command, row)));
    // What is shown raw is what the registry says it is, as nothing else is known of it.
    let rows = rows.filter(|(command, row)| command[1] != "--raw" || row.0 != "too short");
    for_each(rows, |(command, (what, faults, end))| {
        let image = image(1);
        let registry = Registry::start();
        image.push(&registry, "lib/image:v1");
        let home = home(&[&registry.host()]);
        let mut arguments = IDLE.to_vec();
        arguments.extend(command.iter().filter(|word| !word.is_empty()));
        let tag = if command[0] == "list-tags" { "" } else { ":v1" };
        let name = registry.docker(&format!("lib/image{tag}"));
        arguments.push(&name);
        let good = skopeo(&home, &arguments).success().stdout;
        for fault in faults {
            registry.fault(fault);
        }
        let run = skopeo(&home, &arguments);
        match end {
            Right => {
                assert!(run.code == Some(0) && run.stdout == good, "{command:?} {what}: {run}");
            }
            Named(words) => {
                assert!(run.stdout.is_empty(), "{command:?} {what}: {run}");
                assert!(sentence(&run).contains(words), "{command:?} {what}: {run}");
            }
        }
    });
}
