//! Bundles that were changed.

use super::*;

/// The law, for bundles: a changed byte is refused, or is where nobody looks.
#[test]
fn mutations_of_bundles() {
    let cast = Cast::new();
    let nobody = statement(None, &digest(), SIGN);
    let at = "20260501120000Z";
    let stamped = FULCIO
        .replace(r#""bundleIdentity""#, r#""timestampAuthorityPath":"stamps","bundleIdentity""#);
    let mut count = 0;
    for (requirement, parts) in [
        (LOGGED.to_owned(), signed(&cast).logged(&cast.log, BOTH)),
        (FULCIO.to_owned(), Parts::by(&cast.signer, &nobody).logged(&cast.log, BOTH)),
        (
            stamped,
            Parts::by(&cast.signer, &nobody).logged(&cast.log, INCLUDED).stamped(&cast.stamper, at),
        ),
        (STAMPED.to_owned(), signed(&cast).stamped(&cast.stamper, at)),
    ] {
        let policy = policy(&requirement, &cast.files());
        let original = parts.value();
        let text = original.to_string();
        assert_eq!(outcome(&policy, NAME, &[of_text(&text)]), "ok");
        for (place, changed) in mutations(text.as_bytes(), &[1, 32]) {
            count += 1;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            if outcome(&policy, NAME, &[of_text(&changed)]) == "ok" {
                let value: Value = serde_json::from_str(&changed).unwrap();
                assert!(is_same(&original, &value), "{requirement} byte {place}: {changed}");
            }
        }
    }
    assert!(count > 15_000, "{count}");
}

/// Whether two bundles say the same of all that somebody signed.
fn is_same(one: &Value, other: &Value) -> bool {
    let meaning = |value: &Value| {
        let mut value = value.clone();
        // A hint which key it was; the version.
        value["mediaType"] = Value::Null;
        if let Some(hint) = value.pointer_mut("/verificationMaterial/publicKey") {
            *hint = Value::Null;
        }
        for entry in
            value["verificationMaterial"]["tlogEntries"].as_array_mut().into_iter().flatten()
        {
            // Without a promise nobody signed the number of the entry among all.
            if entry.get("inclusionPromise").is_none() {
                entry["logIndex"] = Value::Null;
                entry["integratedTime"] = Value::Null;
            }
            // Witnesses and names of signatures are nobody's business.
            if let Some(note) = entry.pointer_mut("/inclusionProof/checkpoint/envelope") {
                let text = note.as_str().unwrap_or_default();
                let signed = text.split("\n\n").next().unwrap_or_default().to_owned();
                *note = json!(signed);
            }
        }
        // Of a message only what is signed counts, and the certificate by its hash.
        if let Some(stamps) = value.pointer_mut("/verificationMaterial/timestampVerificationData") {
            *stamps = Value::Null;
        }
        value
    };
    meaning(one) == meaning(other)
}

/// Of a time that is accepted, every byte that is signed is as it was.
#[test]
fn mutations_of_times() {
    let cast = Cast::new();
    let policy = policy(STAMPED, &cast.files());
    let good = signed(&cast);
    let stamp = cast.stamper.stamp(&good.signature, "20260501120000Z");
    let info = {
        let mark = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 4];
        let start = stamp.windows(mark.len()).position(|it| it == mark).unwrap();
        start..start + 90
    };
    let mut accepted = 0;
    for (place, changed) in mutations(&stamp, &[1, 2, 4, 8, 16, 32, 64, 128]) {
        let mut parts = good.clone();
        parts.stamps = vec![changed];
        if outcome(&policy, NAME, &[parts.signature()]) == "ok" {
            accepted += 1;
            assert!(!info.contains(&place), "byte {place}");
        }
    }
    // Numbers of versions, the name of the signer beside the hash of its certificate.
    assert!(accepted < stamp.len(), "{accepted}");
}

#[test]
fn huge_bundles_are_not_read() {
    let cast = Cast::new();
    let policy = policy(KEY, &cast.files());
    let text = format!("{}{}", signed(&cast).value(), " ".repeat(4 << 20));
    let expected = "the bundle has more than 4194304 bytes";
    assert_eq!(outcome(&policy, NAME, &[of_text(&text)]), expected);
    let many = vec![signed(&cast).signature(); 10_000];
    let expected = "it has 10000 signatures, more than the limit of 1024";
    assert_eq!(outcome(&policy, NAME, &many), expected);
    let deep = format!("{{\"mediaType\":{}", "[".repeat(100_000));
    assert_ne!(outcome(&policy, NAME, &[of_text(&deep)]), "ok");
}
