//! Who is let in, and what a read-only registry refuses.

use serde_json::{Value, json};
use skopeo_image::Digest;
use skopeo_server::{Access, Htpasswd, ServerOptions};

use crate::client::Server;

#[test]
fn htpasswd() {
    let folder = tempfile::tempdir().unwrap();
    // `htpasswd -nbBC 4 alice secret`
    let users = "alice:$2y$04$HASH\n".replace("$2y$04$HASH", &bcrypt::hash("secret", 4).unwrap());
    let mut options = ServerOptions::new(folder.path());
    options.access = Access::Basic(Htpasswd::parse(&users).unwrap());
    let server = Server::with(options);
    for (header, status) in [
        ("Basic YWxpY2U6c2VjcmV0", 200), // alice:secret
        ("basic YWxpY2U6c2VjcmV0", 200),
        ("Basic YWxpY2U6d3Jvbmc=", 401), // alice:wrong
        ("Basic !", 401),
        ("Bearer YWxpY2U6c2VjcmV0", 401),
    ] {
        let reply = server.send("GET", "/v2/", &[("Authorization", header)], b"");
        assert_eq!(reply.status, status, "{header}");
    }
    let reply = server.send("POST", "/v2/a/blobs/uploads/", &[], &vec![0; 900_000]);
    assert_eq!((reply.status, reply.code()), (401, "UNAUTHORIZED".into()));
    assert_eq!(reply.header("www-authenticate"), "Basic realm=\"skopeo\"");
    // As distribution's registry says it: older clients tell their users no more without.
    let access =
        |kind, name, action| json!({"Type": kind, "Class": "", "Name": name, "Action": action});
    for (method, path, detail) in [
        ("GET", "/v2/", Value::Null),
        ("GET", "/v2/_catalog", json!([access("registry", "catalog", "*")])),
        ("GET", "/v2/a/b/tags/list", json!([access("repository", "a/b", "pull")])),
        (
            "PUT",
            "/v2/a/manifests/x",
            json!([access("repository", "a", "pull"), access("repository", "a", "push")]),
        ),
        ("DELETE", "/v2/a/manifests/x", json!([access("repository", "a", "delete")])),
    ] {
        let body: Value = serde_json::from_slice(&server.ask(method, path).body).unwrap();
        assert_eq!(body["errors"][0]["detail"], detail, "{method} {path}");
    }
}

fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    let text = format!("{user}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

#[test]
fn a_password_that_bcrypt_does_not_read_whole_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let password = "p".repeat(72);
    let users = format!("alice:{}\n", bcrypt::hash(&password, 4).unwrap());
    let mut options = ServerOptions::new(folder.path());
    options.access = Access::Basic(Htpasswd::parse(&users).unwrap());
    let server = Server::with(options);
    for (password, status) in [(password.clone(), 200), (password + "and more", 401)] {
        let login = basic("alice", &password);
        let reply = server.send("GET", "/v2/", &[("Authorization", &login)], b"");
        assert_eq!(reply.status, status);
    }
}

#[test]
fn a_flood_of_logins_stops_nobody_who_is_in() {
    let folder = tempfile::tempdir().unwrap();
    // A cost at which one login takes a good part of a second.
    let users = format!("alice:{}\n", bcrypt::hash("secret", 12).unwrap());
    let mut options = ServerOptions::new(folder.path());
    options.access = Access::Basic(Htpasswd::parse(&users).unwrap());
    let server = Server::with(options);
    let alice = basic("alice", "secret");
    let get = |login: &str| server.send("GET", "/v2/", &[("Authorization", login)], b"").status;
    assert_eq!(get(&alice), 200);
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..40)
            .map(|number| scope.spawn(move || get(&basic("alice", &format!("wrong {number}")))))
            .collect();
        // While they try: what needs no bcrypt does not wait for it.
        for _ in 0..5 {
            assert_eq!(get(&alice), 200);
            assert_eq!(server.ask("GET", "/healthz").status, 200);
        }
        let answers: Vec<_> = attackers.into_iter().map(|one| one.join().unwrap()).collect();
        assert!(answers.iter().all(|status| [401, 429].contains(status)), "{answers:?}");
        // Most of them have not cost anything.
        assert!(answers.iter().filter(|status| **status == 429).count() >= 20, "{answers:?}");
    });
    assert_eq!(get(&alice), 200);
}

#[test]
fn htpasswd_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    let line =
        |user: &str, password: &str| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap());
    fs_err::write(&file, line("alice", "old")).unwrap();
    let mut options = ServerOptions::new(folder.path().join("served"));
    options.access = Access::Basic(Htpasswd::read(&file).unwrap());
    let server = Server::with(options);
    let get = |user: &str, password: &str| {
        let login = basic(user, password);
        server.send("GET", "/v2/", &[("Authorization", &login)], b"").status
    };
    // It is looked at a few times a second.
    let soon = |user: &str, password: &str, status: u16| {
        for _ in 0..100 {
            if get(user, password) == status {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        panic!("{user}:{password} is not answered with {status}");
    };
    assert_eq!(get("alice", "old"), 200);
    // In place, by renaming, and a user who goes.
    fs_err::write(&file, line("alice", "new")).unwrap();
    soon("alice", "new", 200);
    assert_eq!(get("alice", "old"), 401, "what was proven before is not remembered");
    let next = folder.path().join("next");
    fs_err::write(&next, line("bob", "secret")).unwrap();
    fs_err::rename(&next, &file).unwrap();
    soon("bob", "secret", 200);
    assert_eq!(get("alice", "new"), 401);
    // What is broken, empty or gone changes nothing.
    for broken in [Some("no hash"), Some(""), None] {
        match broken {
            Some(text) => fs_err::write(&file, text).unwrap(),
            None => fs_err::remove_file(&file).unwrap(),
        }
        std::thread::sleep(std::time::Duration::from_millis(400));
        assert_eq!(get("bob", "secret"), 200, "{broken:?}");
    }
    fs_err::write(&file, line("alice", "back")).unwrap();
    soon("alice", "back", 200);
    assert_eq!(get("bob", "secret"), 401);
}

#[test]
fn files_that_let_nobody_in_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    for text in ["", "\n\n", "# nobody\n"] {
        fs_err::write(&file, text).unwrap();
        let error = Htpasswd::read(&file).unwrap_err().to_string();
        assert_eq!(error, format!("htpasswd file {} has no users", file.display()));
    }
}

#[test]
fn read_only_serves_and_changes_nothing() {
    let server = Server::new();
    server.push_image("a", "v1", b"layer");
    let mut options = ServerOptions::new(&server.root);
    options.read_only = true;
    let reader = Server::with(options);
    assert_eq!(reader.ask("GET", "/v2/a/manifests/v1").status, 200);
    let digest = Digest::sha256(b"layer");
    for (method, path) in [
        ("POST", "/v2/a/blobs/uploads/".into()),
        ("PUT", "/v2/a/manifests/v2".into()),
        ("DELETE", "/v2/a/manifests/v1".into()),
        ("DELETE", format!("/v2/a/blobs/{digest}")),
        ("POST", format!("/v2/b/blobs/uploads/?mount={digest}&from=a")),
    ] {
        let path: String = path;
        let reply = reader.ask(method, &path);
        assert_eq!((reply.status, reply.code()), (405, "UNSUPPORTED".into()), "{method} {path}");
    }
    assert!(!server.root.join("b").exists());
}
