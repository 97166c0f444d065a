//! Keys in all forms, and without them.

use super::*;

#[test]
fn keys_in_all_forms() {
    if installed("openssl").is_none() {
        skopeo_testkit::skip!("openssl is not installed: no keys");
    }
    let home = home(&[JWE[0].1, JWE[1].1, CERTIFICATE]);
    shell(
        &home,
        "openssl rsa -in rsa.pem -traditional -out rsa.pkcs1
        openssl rsa -in rsa.pem -traditional -outform DER -out rsa.pkcs1.der
        openssl pkcs8 -topk8 -nocrypt -in rsa.pem -outform DER -out rsa.der
        openssl pkcs8 -topk8 -passout pass:pw -in rsa.pem -out rsa.locked
        openssl pkcs8 -topk8 -v2 des3 -passout pass:pw -in rsa.pem -out rsa.des
        openssl pkcs8 -topk8 -v2 aes-128-cbc -v2prf hmacWithSHA1 -passout pass:pw -in rsa.pem -outform DER -out rsa.locked.der
        openssl rsa -in rsa.pem -traditional -aes256 -passout pass:pw -out rsa.old
        openssl rsa -in rsa.pem -traditional -des3 -passout pass:pw -out rsa.older
        openssl ec -in p256.pem -out p256.sec1
        openssl ec -in p256.pem -outform DER -out p256.sec1.der
        openssl ec -in p256.pem -aes192 -passout pass:pw -out p256.old
        openssl pkey -in rsa.pem -pubout -outform DER -out rsa.pub.der
        openssl x509 -in cert.pem -outform DER -out cert.der
        printf 'pw\\n' > pw",
    );
    copy(&home, None, "--encryption-key jwe:rsa.pub.der --encryption-key jwe:p256.pub --encryption-key pkcs7:cert.der oci:plain:x oci:sealed:x").success();
    for key in [
        "rsa.pkcs1",
        "rsa.pkcs1.der",
        "rsa.der",
        "rsa.locked:pw",
        "rsa.des:pw",
        "rsa.locked.der:pass=pw",
        "rsa.old:pw",
        "rsa.older:file=pw",
        "p256.sec1",
        "p256.sec1.der",
        "p256.old:pw",
        "cert.der,cert.key",
    ] {
        let _ = fs_err::remove_dir_all(home.path("work/opened"));
        copy(&home, None, &format!("--decryption-key {key} oci:sealed:x oci:opened:x")).success();
        assert_eq!(manifest(&home, "opened"), manifest(&home, "plain"), "{key}");
    }
    let by_descriptor = "exec 3<pw; exec \"$0\" --insecure-policy copy --decryption-key rsa.locked:fd=3 oci:sealed:x oci:fd:x";
    skopeo_testkit::run(&home, "/bin/sh", &["-c", by_descriptor, env!("CARGO_BIN_EXE_skopeo")])
        .success();
    for (key, expected) in [
        ("rsa.locked", "reading rsa.locked: Missing password for encrypted private key"),
        ("rsa.old", "reading rsa.old: Missing password for encrypted private key"),
        ("rsa.locked:no", "reading rsa.locked: Wrong password: could not decrypt private key"),
        ("rsa.old:no", "reading rsa.old: Wrong password: could not decrypt private key"),
        ("rsa.older:no", "reading rsa.older: Wrong password: could not decrypt private key"),
    ] {
        let run = copy(&home, None, &format!("--decryption-key {key} oci:sealed:x oci:no:x"));
        assert_eq!(fatal(&run), format!("Invalid decryption keys: {expected}"));
    }
    let run = copy(&home, None, "--decryption-key pw oci:sealed:x oci:no:x");
    assert!(run.stderr.contains("pw is not a key that can decrypt layers"), "{run}");
    assert!(fatal(&run).ends_with(": missing private key needed for decryption"), "{run}");
    assert!(!home.path("work/no/index.json").exists());
}

#[test]
fn what_cannot_be_decrypted_gets_no_name() {
    if installed("openssl").is_none() {
        skopeo_testkit::skip!("openssl is not installed: no keys");
    }
    let home = home(&[JWE[0].1, JWE[1].1, JWE[2].1]);
    copy(&home, None, "--encryption-key jwe:p256.pub oci:plain:x oci:sealed:x").success();
    let wrong = "none of the private keys could be used for decryption: JWE: No suitable private key found for decryption";
    for key in ["rsa.pem", "p384.pem"] {
        let run = copy(&home, None, &format!("--decryption-key {key} oci:sealed:x oci:no:x"));
        assert_eq!(run.code, Some(1));
        assert!(fatal(&run).starts_with("decrypting layer sha256:"), "{run}");
        assert!(fatal(&run).contains(wrong), "{run}");
        assert!(!home.path("work/no/index.json").exists());
    }
    // Other annotations, in manifests that are whole.
    let sealed = manifest(&home, "sealed");
    let (keys, options) =
        ("org.opencontainers.image.enc.keys.jwe", "org.opencontainers.image.enc.pubopts");
    let own = sealed["layers"][1]["annotations"][options].clone();
    let many = vec!["e30="; 100_000].join(",");
    for (name, value, expected) in [
        (options, own, "its HMAC is not the one in the image"),
        (options, "".into(), "no cipher type provided"),
        (options, "!".into(), "could not base64 decode"),
        (options, "e30=".into(), "no cipher type provided"),
        (keys, "".into(), "missing private key needed for decryption"),
        (keys, "!".into(), "could not base64 decode"),
        (keys, "e30=".into(), "unsupported encryption"),
        (keys, many.into(), "unsupported encryption"),
        (keys, "A".repeat(1 << 20).into(), "a wrapped key of more than"),
    ] {
        let mut other = sealed.clone();
        other["layers"][0]["annotations"][name] = value;
        write_manifest(&home, "sealed", "other", &other);
        let run = copy(&home, None, "--decryption-key p256.pem oci:other:x oci:no:x");
        assert_eq!(run.code, Some(1));
        assert!(fatal(&run).contains(expected), "{expected}: {run}");
        assert!(!home.path("work/no/index.json").exists());
    }
    // Other bytes, under a digest that is theirs: nothing but the HMAC tells.
    let layer = path_of(&home, "sealed", sealed["layers"][0]["digest"].as_str().unwrap());
    let bytes = fs_err::read(layer).unwrap();
    for flip in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[flip] ^= 1;
        let digest = Digest::sha256(&bytes);
        let mut other = sealed.clone();
        other["layers"][0]["digest"] = digest.as_str().into();
        write_manifest(&home, "sealed", "other", &other);
        fs_err::write(path_of(&home, "other", digest.as_str()), bytes).unwrap();
        let run = copy(&home, None, "--decryption-key p256.pem oci:other:x oci:no:x");
        let said = fatal(&run);
        // Where the first bytes are others, the decompression may see it first.
        assert!(
            said.contains("its HMAC is not the one") || said.contains("decompressing"),
            "{run}"
        );
        assert!(!home.path("work/no/index.json").exists());
    }
}

/// The layout `from` again as `to`, with another manifest.
fn write_manifest(home: &Home, from: &str, to: &str, manifest: &Value) {
    shell(home, &format!("rm -rf {to} && cp -r {from} {to}"));
    let bytes = serde_json::to_vec(manifest).unwrap();
    let digest = Digest::sha256(&bytes);
    fs_err::write(path_of(home, to, digest.as_str()), &bytes).unwrap();
    let index = home.path("work").join(to).join("index.json");
    let mut json: Value = serde_json::from_slice(&fs_err::read(&index).unwrap()).unwrap();
    json["manifests"][0]["digest"] = digest.as_str().into();
    json["manifests"][0]["size"] = bytes.len().into();
    fs_err::write(index, json.to_string()).unwrap();
}

#[test]
fn flags_that_make_no_sense() {
    let Some(original) = tools!("openssl", "skopeo") else { return };
    let home = home(&[JWE[1].1]);
    home.write("work/text", "text");
    for (flags, same) in [
        ("--encryption-key jwe:p256.pub --decryption-key p256.pem", true),
        ("--encrypt-layer 0", true),
        ("--encryption-key p256.pub", true),
        ("--encryption-key x:p256.pub", true),
        ("--encryption-key jwe:none", true),
        ("--encryption-key pkcs7:none", true),
        ("--encryption-key jwe:text", false), // we name the file
        ("--encryption-key pkcs7:p256.pub", false),
        ("--encryption-key pkcs11:text", false),
        ("--decryption-key none", false), // 1.9.3 read files twice
        ("--encryption-key jwe:p256.pub --encrypt-layer x", true),
        ("--encryption-key jwe:p256.pub --preserve-digests", false), // 1.9.3 did not say of which layer
    ] {
        let run = |program| copy(&home, program, &format!("{flags} oci:plain:x oci:no:x"));
        let (theirs, ours) = (run(Some(original.as_path())), run(None));
        assert_eq!(ours.code, theirs.code, "{flags}: {ours}\n{theirs}");
        if same {
            assert_eq!(fatal(&ours), fatal(&theirs), "{flags}");
        }
    }
}
