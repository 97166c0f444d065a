use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;

use super::*;

#[test]
fn speaks_as_the_original() {
    let json = |code: &str, message: &str, detail: &str| {
        format!(r#"{{"errors":[{{"code":"{code}","message":"{message}"{detail}}}]}}"#)
    };
    let detail = r#","detail":{"Tag":"x"}"#;
    for (status, body, expected, missing) in [
        (404, json("MANIFEST_UNKNOWN", "manifest unknown", detail), "manifest unknown", true),
        (404, json("MANIFEST_UNKNOWN", "", ""), "manifest unknown", true),
        (404, json("MANIFEST_UNKNOWN", "gone", ""), "manifest unknown: gone", true),
        (
            404,
            json("NAME_UNKNOWN", "repository name not known to registry", detail),
            "repository name not known to registry",
            false,
        ),
        (404, json("UNKNOWN", "Not Found", ""), "unknown: Not Found", true),
        (404, json("NOT_FOUND", "artifact x not found", ""), "unknown: artifact x not found", true),
        (404, "not here".into(), r#"StatusCode: 404, "not here""#, true),
        (404, String::new(), r#"StatusCode: 404, """#, true),
        (403, r#"{"errors":[]}"#.into(), r#"StatusCode: 403, "{\"errors\":[]}""#, false),
        (403, json("DENIED", "no way", ""), "denied: no way", false),
        (
            403,
            json("DENIED", "no way", r#","detail":"the disk is read-only""#),
            "denied: no way (the disk is read-only)",
            false,
        ),
        (403, json("DENIED", "no way", r#","detail":"no way""#), "denied: no way", false),
        (
            405,
            json("UNSUPPORTED", "The operation is unsupported.", r#","detail":"read-only""#),
            "The operation is unsupported. (read-only)",
            false,
        ),
        (
            413,
            json("BLOB_UPLOAD_INVALID", "blob upload invalid", r#","detail":"too large""#),
            "blob upload invalid (too large)",
            false,
        ),
        (
            507,
            json("DENIED", "", r#","detail":"it is full""#),
            "received unexpected HTTP status: 507 Insufficient Storage (it is full)",
            false,
        ),
        (502, "<html>".into(), "received unexpected HTTP status: 502 Bad Gateway", false),
        (
            401,
            json("UNAUTHORIZED", "authentication required", detail),
            "authentication required",
            false,
        ),
        (401, "<html>".into(), "authentication required", false),
        (401, r#"{"details":"bad password"}"#.into(), "unauthorized: bad password", false),
        (429, json("TOOMANYREQUESTS", "slow down", ""), "toomanyrequests: slow down", false),
        (429, r#"{"details":"slow"}"#.into(), "toomanyrequests: slow", false),
        (400, "x".repeat(60), &format!("StatusCode: 400, \"{}...\"", "x".repeat(50)), false),
        (
            500,
            json("UNKNOWN", "", ""),
            "received unexpected HTTP status: 500 Internal Server Error",
            false,
        ),
        (599, String::new(), "received unexpected HTTP status: 599", false),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer::of_registry(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(answer.to_string(), expected);
        assert_eq!(answer.is_not_found(), missing, "{expected}");
    }
}

#[test]
fn the_challenge_explains_a_401() {
    for (header, expected, codes) in [
        (r#"Bearer error="invalid_token""#, "authentication required", vec!["UNAUTHORIZED"]),
        (
            r#"Bearer error="insufficient_scope",error_description="push only""#,
            "denied: push only",
            vec!["DENIED"],
        ),
        (r#"Bearer error="else""#, "authentication required", vec!["UNAUTHORIZED"]),
    ] {
        let headers = HeaderMap::from_iter([(WWW_AUTHENTICATE, HeaderValue::from_static(header))]);
        let answer = Answer::of_registry(StatusCode::UNAUTHORIZED, &headers, b"");
        assert_eq!(
            (answer.to_string().as_str(), answer.codes()),
            (expected, &codes.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>()[..])
        );
    }
}

#[test]
fn knows_when_another_type_may_help() {
    for (status, body, expected) in [
        (400, r#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#, true),
        (400, r#"{"errors":[{"code":"TAG_INVALID"}]}"#, true),
        (405, r#"{"errors":[{"code":"UNSUPPORTED","message":"Invalid JSON syntax"}]}"#, true),
        (405, r#"{"errors":[{"code":"UNSUPPORTED","message":"no"}]}"#, false),
        (415, "", true),
        (400, "", false),
        (500, "", false),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer::of_registry(status, &HeaderMap::new(), body.as_bytes());
        assert_eq!(answer.is_manifest_type_rejected(), expected, "{status} {body}");
    }
}
