//! Lists in pages, and referrers.

use super::*;

fn strings(reply: &Reply, key: &str) -> Vec<String> {
    let json = reply.json();
    json[key].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn walk_pages(server: &Server, first: &str, key: &str) -> Vec<Vec<String>> {
    let mut path = first.to_owned();
    let mut pages = Vec::new();
    loop {
        let reply = server.ask("GET", &path);
        pages.push(strings(&reply, key));
        let link = reply.header("link");
        if link.is_empty() {
            return pages;
        }
        assert!(link.ends_with(">; rel=\"next\""), "{link}");
        path = link[1..link.find('>').unwrap()].to_owned();
    }
}

pub(super) fn lists_come_in_pages(server: &Server) {
    for tag in ["b", "a", "C", "1.0", "_x"] {
        server.push_image("app", tag, b"layer");
    }
    for repository in ["z/y", "base"] {
        server.push_image(repository, "v1", b"layer");
    }
    server.push_blob("empty", b"blob"); // no manifest: not in the catalog
    let all = strings(&server.ask("GET", "/v2/app/tags/list"), "tags");
    assert_eq!(all, ["1.0", "C", "_x", "a", "b"]);
    let pages = walk_pages(server, "/v2/app/tags/list?n=2", "tags");
    assert_eq!(pages, [vec!["1.0", "C"], vec!["_x", "a"], vec!["b"]]);
    assert_eq!(walk_pages(server, "/v2/app/tags/list?n=5", "tags").len(), 1);
    assert_eq!(walk_pages(server, "/v2/app/tags/list?last=a", "tags"), [["b"]]);
    assert_eq!(walk_pages(server, "/v2/app/tags/list?n=0", "tags"), [Vec::<String>::new()]);
    let pages = walk_pages(server, "/v2/_catalog?n=1", "repositories");
    assert_eq!(pages, [["app"], ["base"], ["z/y"]]);
    assert_eq!(server.ask("GET", "/v2/_catalog?n=x").code(), "PAGINATION_NUMBER_INVALID");
    assert_eq!(server.ask("GET", "/v2/_catalog?n=-1").status, 400);
}

pub(super) fn referrers_are_found(server: &Server) {
    let subject = Digest::sha256(&server.push_image("a", "v1", b"layer"));
    let config = server.push_blob("a", b"{}");
    let artifact = |kind: &str, note: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","artifactType":"{kind}","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":2}},"layers":[],"subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":1}},"annotations":{{"note":"{note}"}}}}"#
        )
    };
    for (kind, note) in [("x/sbom", "1"), ("x/signature", "2")] {
        let bytes = artifact(kind, note);
        let digest = Digest::sha256(bytes.as_bytes());
        let reply = server.put_manifest("a", digest.as_str(), OCI_MANIFEST, bytes.as_bytes());
        assert_eq!((reply.status, reply.header("oci-subject")), (201, subject.as_str()));
    }
    let all = server.ask("GET", &format!("/v2/a/referrers/{subject}"));
    assert_eq!((all.status, all.header("content-type")), (200, OCI_INDEX));
    assert_eq!(all.json()["manifests"].as_array().unwrap().len(), 2);
    let some = server.ask("GET", &format!("/v2/a/referrers/{subject}?artifactType=x/sbom"));
    assert_eq!(some.header("oci-filters-applied"), "artifactType");
    let found = &some.json()["manifests"];
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(found[0]["artifactType"], "x/sbom");
    assert_eq!(found[0]["annotations"]["note"], "1");
    assert_eq!(found[0]["digest"], Digest::sha256(artifact("x/sbom", "1").as_bytes()).as_str());
    let none = server.ask("GET", &format!("/v2/none/referrers/{subject}"));
    assert_eq!(none.status, 200);
    // In one layout every name is a repository of all that is there.
    let none = none.json()["manifests"].as_array().unwrap().len();
    assert_eq!(none, if server.is_in_bucket() { 2 } else { 0 });
}

pub(super) fn referrers_are_filtered_by_what_they_are(server: &Server) {
    let subject = Digest::sha256(&server.push_image("a", "v1", b"layer"));
    let config = server.push_blob("a", b"{}");
    let refers =
        format!(r#""subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":1}}"#);
    let image = |more: &str, config_type: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}",{more}"config":{{"mediaType":"{config_type}","digest":"{config}","size":2}},"layers":[],{refers}}}"#
        )
    };
    let list = |more: &str| {
        format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_INDEX}",{more}"manifests":[],{refers}}}"#)
    };
    let kind = |kind: &str| format!(r#""artifactType":"{kind}","#);
    let all = [
        (OCI_MANIFEST, image(&kind("a/b+c"), "x/config"), "a/b+c"),
        (OCI_MANIFEST, image(&kind("a/b+c"), "x/other"), "a/b+c"),
        (OCI_MANIFEST, image(&kind("a/b c&d=1"), "x/config"), "a/b c&d=1"),
        // What says nothing of itself is what its config is; what is empty says nothing.
        (OCI_MANIFEST, image("", "x/config"), "x/config"),
        (OCI_MANIFEST, image(&kind(""), "x/empty"), "x/empty"),
        (OCI_INDEX, list(&kind("a/b+c")), "a/b+c"),
        (OCI_INDEX, list(""), ""),
    ];
    for (media_type, text, _) in &all {
        let digest = Digest::sha256(text.as_bytes());
        let put = server.put_manifest("a", digest.as_str(), media_type, text.as_bytes());
        assert_eq!(put.status, 201, "{put:?}");
    }
    let found = |filter: &str| {
        let reply = server.ask("GET", &format!("/v2/a/referrers/{subject}?{filter}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, OCI_INDEX), "{reply:?}");
        let applied = reply.header("oci-filters-applied").to_owned();
        let mut found: Vec<String> = reply.json()["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["digest"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        (applied, found)
    };
    let expected = |kind: &str| {
        let mut expected: Vec<String> = all
            .iter()
            .filter(|(.., it)| *it == kind)
            .map(|(_, text, _)| Digest::sha256(text.as_bytes()).to_string())
            .collect();
        expected.sort();
        expected
    };
    for (filter, kind) in [
        ("artifactType=a%2Fb%2Bc", "a/b+c"),
        ("artifactType=a/b%2bc", "a/b+c"),
        ("artifactType=a/b+c%26d%3D1", "a/b c&d=1"),
        ("n=100&artifactType=x/config", "x/config"),
        ("artifactType=x/empty&artifactType=x/config", "x/empty"),
        ("artifactType=nothing", "nothing"),
        ("artifactType=A/B%2BC", "A/B+C"),
        ("artifactType=a/b", "a/b"),
        ("artifactType=%00", "\0"),
    ] {
        assert_eq!(found(filter), ("artifactType".to_owned(), expected(kind)), "{filter}");
    }
    // No filter, and what is none.
    for filter in ["", "artifactType=", "artifacttype=x/config", "type=x/config"] {
        let (applied, found) = found(filter);
        assert_eq!((applied.as_str(), found.len()), ("", all.len()), "{filter}");
    }
    // Page by page, with the filter on each.
    let mut next = format!("/v2/a/referrers/{subject}?artifactType=a/b%2Bc&n=1");
    let mut paged = Vec::new();
    loop {
        let page = server.ask("GET", &next);
        assert_eq!(page.header("oci-filters-applied"), "artifactType");
        let manifests = page.json()["manifests"].clone();
        assert!(manifests.as_array().unwrap().len() <= 1, "{page:?}");
        paged.extend(manifests.as_array().unwrap().iter().map(|it| it["digest"].to_string()));
        let link = page.header("link");
        if link.is_empty() {
            break;
        }
        next = link.split(['<', '>']).nth(1).unwrap().to_owned();
        assert!(next.contains("artifactType=a%2Fb%2Bc"), "{next}");
    }
    assert_eq!(paged.len(), expected("a/b+c").len());
}
