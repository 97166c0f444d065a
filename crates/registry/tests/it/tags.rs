use skopeo_image::{Digest, MediaType};

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
        (200, "<html>", "decoding tag list response: expected value at line 1 column 1"),
    ] {
        let server = Server::start(move |_| reply(status).body(body)).await;
        let error = server.client().repository("a").tags().await.unwrap_err();
        assert_eq!(chain(&error), expected);
        assert!(!error.is_not_found());
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

#[tokio::test]
async fn referrers_by_the_api_or_the_tag() {
    let digest = Digest::sha256(b"x");
    let tag = digest.as_str().replace(':', "-");
    let api = Server::start(|seen| match seen.path.contains("page=2") {
        false => reply(200)
            .header("Content-Type", MediaType::OCI_INDEX.as_str())
            .header("Link", "<?page=2>; rel=\"next\"")
            .body(r#"{"schemaVersion":2,"manifests":[{"size":1}],"annotations":{"a":"b"}}"#),
        true => reply(200).body(r#"{"schemaVersion":2,"manifests":[{"size":2}]}"#),
    })
    .await;
    let found = api.client().repository("a").referrers(&digest).await.unwrap().unwrap();
    assert_eq!(
        found.bytes,
        r#"{"schemaVersion":2,"manifests":[{"size":1},{"size":2}],"annotations":{"a":"b"}}"#
    );
    for (status, body) in [(404, ""), (200, "<html>"), (405, "")] {
        let path = format!("/v2/a/manifests/{tag}");
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let server = Server::start(move |seen| match seen.path == path {
            true => reply(200).body(index),
            false => reply(status).body(body),
        })
        .await;
        let found = server.client().repository("a").referrers(&digest).await.unwrap().unwrap();
        assert_eq!(found.bytes, index);
    }
    let none = Server::start(|_| reply(404)).await;
    assert_eq!(none.client().repository("a").referrers(&digest).await.unwrap(), None);
    let broken = Server::start(|_| reply(500)).await;
    broken.client().repository("a").referrers(&digest).await.unwrap_err();
}
