use skopeo_image::{Classify as _, Digest, MediaType};
use skopeo_registry::{ListedBy, Referrers, referrers_tag};

use crate::server::{Server, chain, reply};

#[tokio::test]
async fn pages_are_followed() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/v2/a/b/tags/list" => reply(200)
            .header("Link", "</v2/a/b/tags/list?last=2&n=2>; rel=\"next\"")
            .body(r#"{"name":"a/b","tags":["1","2"]}"#),
        "/v2/a/b/tags/list?last=2&n=2" => reply(200)
            .header("Link", "<https://elsewhere.example/v2/a/b/tags/list?last=3>; rel=\"next\"")
            .body(r#"{"tags":["3"]}"#),
        "/v2/a/b/tags/list?last=3" => {
            reply(200).header("Link", "<?last=4>; rel=\"next\"").body(r#"{"tags":null}"#)
        }
        "/v2/a/b/tags/list?last=4" => reply(200).body("{}"),
        _ => reply(404),
    })
    .await;
    assert_eq!(server.client().repository("a/b").tags().await.unwrap(), ["1", "2", "3"]);
    assert_eq!(server.seen().len(), 4);
}

#[tokio::test]
async fn a_list_that_goes_round_ends() {
    for link in ["</v2/a/tags/list>", "</v2/a/tags/list?x>"] {
        let server =
            Server::start(move |_| reply(200).header("Link", link).body(r#"{"tags":["1"]}"#)).await;
        let tags = server.client().repository("a").tags().await.unwrap();
        assert!((1..=2).contains(&tags.len()), "{tags:?}");
    }
}

#[tokio::test]
async fn odd_tags_are_passed_over_and_wrong_ones_refused() {
    let digest = Digest::sha256(b"");
    let body = format!(r#"{{"tags":["a",null,"","{digest}","b"]}}"#);
    let server = Server::start(move |_| reply(200).body(&body)).await;
    assert_eq!(server.client().repository("a").tags().await.unwrap(), ["a", "b"]);
    let server = Server::start(|_| reply(200).body(r#"{"tags":["../x"]}"#)).await;
    let error = server.client().repository("a").tags().await.unwrap_err();
    assert_eq!(chain(&error), "registry returned invalid tag \"../x\": invalid tag format");
}

#[tokio::test]
async fn failures_have_the_originals_words() {
    for (status, body, expected) in [
        (
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":{}}]}"#,
            "fetching tags list: repository name not known to registry",
        ),
        (403, r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, "fetching tags list: denied: no"),
        (
            200,
            "<html>",
            "decoding tag list response: invalid character '<' looking for beginning of value",
        ),
    ] {
        let server = Server::start(move |_| reply(status).body(body)).await;
        let error = server.client().repository("a").tags().await.unwrap_err();
        assert_eq!(chain(&error), expected);
        assert!(!error.is_not_found());
        assert!(error.hint().is_some());
        let hidden = error.hint().is_some_and(|hint| hint.contains("does not exist, or this user"));
        assert_eq!(hidden, status == 404);
    }
}

#[tokio::test]
async fn the_catalog() {
    let server = Server::start(|seen| match seen.path.as_str() {
        "/v2/_catalog" => {
            reply(200).header("Link", "</v2/_catalog?last=a>").body(r#"{"repositories":["a"]}"#)
        }
        _ => reply(200).body(r#"{"repositories":["b/c"]}"#),
    })
    .await;
    assert_eq!(server.client().catalog().await.unwrap(), ["a", "b/c"]);
}

/// An index of so many referrers, counted on from `first`.
fn index(first: usize, count: usize) -> String {
    let manifests = (first..first + count).map(|number| {
        let digest = Digest::sha256(number.to_string().as_bytes());
        format!(
            r#"{{"mediaType":"{}","digest":"{digest}","size":{number},"artifactType":"x/y"}}"#,
            MediaType::OCI_MANIFEST
        )
    });
    let manifests = manifests.collect::<Vec<_>>().join(",");
    format!(r#"{{"schemaVersion":2,"manifests":[{manifests}],"annotations":{{"a":"b"}}}}"#)
}

fn sizes(found: &Referrers) -> Vec<u64> {
    found.listed.iter().filter_map(|found| found.blob.size).collect()
}

#[tokio::test]
async fn referrers_by_the_api_or_the_tag() {
    let digest = Digest::sha256(b"x");
    let tag = referrers_tag(&digest);
    // No filter is asked for, and whether one was applied is nobody's concern.
    let api = Server::start(|seen| match seen.path.contains("page=2") {
        false => reply(200)
            .header("Content-Type", MediaType::OCI_INDEX.as_str())
            .header("Link", "<?page=2>; rel=\"next\"")
            .body(index(1, 2)),
        true => reply(200).body(index(2, 2)),
    })
    .await;
    let found = api.client().repository("a").referrers(&digest).await.unwrap().unwrap();
    assert_eq!((found.by, sizes(&found)), (ListedBy::Api, vec![1, 2, 3])); // each once
    assert_eq!(found.listed[0].artifact_type, "x/y");
    for (status, body) in [(404, ""), (200, "<html>"), (405, "")] {
        let path = format!("/v2/a/manifests/{tag}");
        let server = Server::start(move |seen| match seen.path == path {
            true => reply(200).body(index(7, 1)),
            false => reply(status).body(body),
        })
        .await;
        let found = server.client().repository("a").referrers(&digest).await.unwrap().unwrap();
        assert_eq!((found.by, sizes(&found)), (ListedBy::Tag, vec![7]));
        let api = server.client().repository("a").referrers_by_api(&digest).await.unwrap();
        assert_eq!(api, None);
    }
    // An API that knows of nothing has the last word.
    let empty = Server::start(|_| reply(200).body(index(0, 0))).await;
    let found = empty.client().repository("a").referrers(&digest).await.unwrap().unwrap();
    assert_eq!((found.by, found.listed.len(), empty.seen().len()), (ListedBy::Api, 0, 1));
    let torn = Server::start(|_| {
        reply(200).header("Content-Type", MediaType::OCI_INDEX.as_str()).body("{\"manifests\":[")
    })
    .await;
    torn.client().repository("a").referrers(&digest).await.unwrap_err();
    let none = Server::start(|_| reply(404)).await;
    assert_eq!(none.client().repository("a").referrers(&digest).await.unwrap(), None);
    let broken = Server::start(|_| reply(500)).await;
    broken.client().repository("a").referrers(&digest).await.unwrap_err();
}

#[tokio::test]
async fn referrers_without_end_come_to_one() {
    let digest = Digest::sha256(b"x");
    for (page, linked, expected) in [
        (1, "<?page=1>", "its pages form a loop"),
        (1, "<?page=N>", "exceeded maximum allowed size"),
        (5500, "<?page=N>", "there are more than 10000"),
    ] {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let server = Server::start(move |_| {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let reply = reply(200).body(index(number * page, page));
            match linked.replace('N', &number.to_string()) {
                link if link.is_empty() => reply,
                link => reply.header("Link", link),
            }
        })
        .await;
        let error = server.client().repository("a").referrers(&digest).await.unwrap_err();
        let error = chain(&error);
        assert!(error.starts_with("reading referrers of sha256:"), "{error}");
        assert!(error.contains(expected), "{error}");
    }
    let wrong = Server::start(|_| reply(200).body(r#"{"manifests":[{"size":1}]}"#)).await;
    wrong.client().repository("a").referrers(&digest).await.unwrap_err();
}
