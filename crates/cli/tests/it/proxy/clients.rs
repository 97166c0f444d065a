//! Clients that go away, do not read, or ask for too much.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use skopeo_testkit::proxy::{Answer, Client, read};
use skopeo_testkit::registry::On;
use skopeo_testkit::{Fault, Home, Image, Registry};

use super::{start, uninitialized};
use crate::stage::{SKOPEO, home};

/// A registry with an image of that many layers, larger than a pipe.
fn stage(layers: usize) -> (Registry, Home, Image) {
    let registry = Registry::start();
    let home = home(&[&registry.host()]);
    let image = Image::builder(1).layers(layers).layer_size(1_000_000).build();
    image.push(&registry, "lib/image:v1");
    (registry, home, image)
}

fn ask_for_blob(client: &Client, id: &Value, layer: &skopeo_testkit::image::Layer) -> Answer {
    let size = layer.bytes.len();
    client.call("GetBlob", json!([id, layer.digest.to_string(), size]))
}

/// Whatever it is waiting for, without its client nothing is worth waiting for.
#[test]
fn a_client_that_is_gone_ends_everything() {
    let (registry, home, image) = stage(2);
    let name = registry.docker("lib/image:v1");
    uninitialized(&home, SKOPEO, &[]).hang_up().success();
    start(&home, &[]).hang_up().success();

    // While a blob waits for its reader, whether somebody asked for its end or not.
    for asks in [false, true] {
        let client = start(&home, &[]);
        let id = client.open(&name);
        let answer = ask_for_blob(&client, &id, &image.layers()[0]);
        if asks {
            let request = json!({"method": "FinishPipe", "args": [answer.number()]});
            client.ask(request.to_string().as_bytes());
            assert!(!client.replies_within(Duration::from_millis(200)));
            // Nor does it matter what else was said.
            client.ask(b"{}");
        }
        client.hang_up().success();
        drop(answer);
    }
    // While a registry says nothing.
    registry.fault(Fault::silence(On::anything()));
    let client = start(&home, &[]);
    let request = json!({"method": "OpenImage", "args": [name]});
    client.ask(request.to_string().as_bytes());
    assert!(!client.replies_within(Duration::from_millis(200)));
    client.hang_up().success();
}

/// Replies wait until they are read, in their order.
#[test]
fn replies_that_nobody_reads_are_kept() {
    let (_registry, home, _) = stage(1);
    let client = start(&home, &[]);
    // A part of them fits into the socket: the rest is asked by a thread that has to wait.
    const REQUESTS: usize = 3000;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..REQUESTS {
                let request = json!({"method": "FinishPipe", "args": [number]});
                client.ask(request.to_string().as_bytes());
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        for number in 0..REQUESTS {
            let expected = format!("finishpipe: no active pipe {number}");
            assert_eq!(client.reply().error(), ("other", &expected[..]));
        }
    });
    client.shut_down().success();
}

#[test]
fn who_reads_no_reply_can_go_away() {
    let (registry, home, _) = stage(1);
    let client = start(&home, &[]);
    let request = json!({"method": "GetTea", "args": [], "more": "x".repeat(10_000)}).to_string();
    for _ in 0..10 {
        client.ask(request.as_bytes());
    }
    client.hang_up().success();
    assert!(registry.requests().is_empty(), "{:#?}", registry.lines());
}

/// A client may say that it will ask nothing more: what it has asked is answered.
#[test]
fn the_last_questions_are_answered() {
    let (registry, home, _) = stage(1);
    let client = start(&home, &[]);
    let request = json!({"method": "OpenImage", "args": [registry.docker("lib/image:v1")]});
    client.ask(request.to_string().as_bytes());
    client.ask(br#"{"method":"GetLayerInfo","args":[1]}"#);
    client.say_no_more();
    assert_eq!(client.reply().value(), 1);
    assert_eq!(client.reply().value().as_array().unwrap().len(), 1);
    client.hang_up().success();
}

/// Blobs that nobody reads stand in nobody's way.
#[test]
fn a_pipe_that_nobody_reads_hangs_nothing_else() {
    let (registry, home, image) = stage(3);
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/image:v1"));
    let [first, second, third] = image.layers() else { panic!("three layers") };
    let unread = ask_for_blob(&client, &id, first);
    let raw = client.call("GetRawBlob", json!([id, second.digest.to_string()]));
    for layer in [second, third] {
        let mut answer = ask_for_blob(&client, &id, layer);
        let reader = answer.pipe();
        assert_eq!(client.finish(answer.number(), reader).ok().unwrap(), layer.bytes);
    }
    client.piped("GetManifest", json!([id])).1.ok().unwrap();
    client.call("CloseImage", json!([id])).value();
    // They come whole when somebody reads them after all, even if the image is closed.
    let mut unread = unread;
    let reader = unread.pipe();
    assert_eq!(client.finish(unread.number(), reader).ok().unwrap(), first.bytes);
    let [data, errors]: [OwnedFd; 2] = raw.descriptors.try_into().unwrap();
    assert_eq!(read(data), second.bytes);
    assert_eq!(read(errors), b"");
    client.shut_down().success();
}

#[test]
fn who_closes_a_pipe_is_told_so() {
    let (registry, home, image) = stage(1);
    let client = start(&home, &[]);
    let id = client.open(&registry.docker("lib/image:v1"));
    let mut answer = ask_for_blob(&client, &id, &image.layers()[0]);
    drop(answer.pipe());
    let finished = client.call("FinishPipe", json!([answer.number()]));
    assert_eq!(finished.error(), ("EPIPE", "writing to the client: broken pipe"));
    let raw = client.call("GetRawBlob", json!([id, image.layers()[0].digest.to_string()]));
    let [data, errors]: [OwnedFd; 2] = raw.descriptors.try_into().unwrap();
    drop(data);
    let error: Value = serde_json::from_slice(&read(errors)).unwrap();
    assert_eq!(error["code"], "EPIPE");
    client.shut_down().success();
}

/// Where there are no more descriptors the client hears it, and can go on once it gave some back.
#[test]
fn without_descriptors_the_client_is_told() {
    let home = Home::new();
    let image = Image::new(1);
    image.write_dir(&home.path("work/image"));
    let mut command = home.command("/bin/sh");
    command.args(["-c", "ulimit -n 24; exec \"$0\" experimental-image-proxy", SKOPEO]);
    let client = Client::of(command);
    client.call("Initialize", json!([])).value();
    let id = client.open("dir:image");
    let (mut open, mut refused) = (Vec::new(), None);
    while refused.is_none() && open.len() < 100 {
        let answer = client.call("GetManifest", json!([id]));
        match answer.json["success"].as_bool() {
            Some(true) => open.push(answer),
            _ => refused = Some(answer),
        }
    }
    let refused = refused.unwrap();
    assert!(refused.error().1.contains("open files"), "{}", refused.json);
    for mut answer in open {
        let reader = answer.pipe();
        let manifest = client.finish(answer.number(), reader).ok().unwrap();
        assert_eq!(manifest, image.manifest().bytes);
    }
    client.piped("GetFullConfig", json!([id])).1.ok().unwrap();
    client.shut_down().success();
}

#[test]
fn there_is_a_limit_to_open_pipes() {
    let home = Home::new();
    Image::new(1).write_dir(&home.path("work/image"));
    let client = start(&home, &[]);
    let id = client.open("dir:image");
    let ask = || client.call("GetManifest", json!([id]));
    let mut open: Vec<u64> = (0..256).map(|_| ask().number()).collect();
    let expected = "256 pipes are open; finish one of them first";
    assert_eq!(ask().error(), ("other", expected));
    client.call("FinishPipe", json!([open.pop()])).json["success"].as_bool().unwrap();
    ask().number();
    client.hang_up().success();
}

#[test]
fn a_signal_ends_it() {
    let (_registry, home, _) = stage(1);
    let client = start(&home, &[]);
    let pid = Pid::from_raw(client.id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(client.ended().code, Some(143));
}
