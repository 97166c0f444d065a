//! Images with signatures that GnuPG makes here and now, judged by the installed original and by us.

mod copies;
mod inspected;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use skopeo_testkit::run::{installed, original};
use skopeo_testkit::{Fault, Home, Image, On, Registry, Run, run, skip};

use crate::program::{at_home, fatal};

/// Keys of these names: `good`, `rsa`, `other`, `expired`, `revoked`, and `sub`, which signs by a
/// subkey.
const KEYS: &str = r#"
mkdir -m 700 gnupg
g() { gpg --batch --yes --quiet --no-tty --passphrase '' --pinentry-mode loopback --trust-model always "$@"; }
for key in good other revoked; do g --quick-generate-key "$key <$key@x.example>" ed25519 sign 0; done
g --quick-generate-key "rsa <rsa@x.example>" rsa3072 sign 0
g --faked-system-time 20240101T000000! --quick-generate-key "expired <expired@x.example>" ed25519 sign 2024-01-10
g --faked-system-time 20240101T000000! --quick-generate-key "old <old@x.example>" ed25519 sign 0
g --quick-generate-key "sub <sub@x.example>" ed25519 cert 0
print=$(g --with-colons --list-keys sub@x.example | awk -F: '/^fpr/ {print $10; exit}')
g --quick-add-key "$print" ed25519 sign
for key in good other revoked rsa expired old sub; do g -o "$key.pub" --export "$key@x.example"; done
g -o good.asc --armor --export good@x.example
print=$(g --with-colons --list-keys revoked@x.example | awk -F: '/^fpr/ {print $10; exit}')
sed 's/^:---/---/' "gnupg/openpgp-revocs.d/$print.rev" > rev
mkdir -m 700 public
g --homedir public --import revoked.pub rev
g --homedir public -o revoked.pub --export revoked@x.example
: > empty.pub
"#;

/// A home with keys, and a registry with an image in it.
struct Place {
    home: Home,
    registry: Registry,
    image: Image,
    rows: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let folder = self.home.path("work/gnupg").display().to_string();
        run(&self.home, "/usr/bin/gpgconf", &["--homedir", &folder, "--kill", "all"]);
    }
}

/// What lies beside an image.
struct Signature {
    payload: String,
    flags: String,
}

impl Place {
    fn new() -> Self {
        let home = Home::new();
        let folder = home.path("work/gnupg").display().to_string();
        let home = home.variable("GNUPGHOME", &folder);
        let registry = Registry::start();
        home.insecure(&[&registry.host()]);
        let image = Image::new(1);
        image.push(&registry, "app:1");
        let place = Self { home, registry, image, rows: 0 };
        place.shell(KEYS);
        place
    }

    #[track_caller]
    fn shell(&self, script: &str) -> Run {
        run(&self.home, "/bin/sh", &["-ec", script]).success()
    }

    fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.registry.host())
    }

    /// A payload for a name.
    fn payload(&self, name: &str) -> String {
        let digest = self.image.digest();
        format!(
            r#"{{"critical":{{"identity":{{"docker-reference":"{name}"}},"image":{{"docker-manifest-digest":"{digest}"}},"type":"atomic container signature"}},"optional":{{"creator":"atomic 1","timestamp":1777593600}}}}"#
        )
    }

    fn good(&self) -> Signature {
        self.by("good")
    }

    fn by(&self, key: &str) -> Signature {
        let faked = if key == "expired" { "--faked-system-time 20240102T000000!" } else { "" };
        let flags = format!("-u {key}@x.example {faked}");
        Signature { payload: self.payload(&self.name("app:1")), flags }
    }

    fn of(&self, payload: String) -> Signature {
        Signature { payload, ..self.good() }
    }

    /// Writes the signatures into a folder, counted from one.
    fn sign(&self, folder: &Path, signatures: &[Signature]) {
        fs_err::create_dir_all(folder).unwrap();
        for (at, signature) in signatures.iter().enumerate() {
            let file = folder.join(format!("signature-{}", at + 1));
            fs_err::write(self.home.path("work/payload"), &signature.payload).unwrap();
            self.shell(&format!(
                "gpg --batch --yes --quiet --no-tty --passphrase '' --pinentry-mode loopback {} -o '{}' --sign payload",
                signature.flags,
                file.display()
            ));
        }
    }

    /// Copies the image by both under a policy; gives how they ended.
    fn copies(&mut self, source: &str, requirements: &str, signatures: &[Signature]) -> (Run, Run) {
        self.rows += 1;
        let folder = self.home.path("work").join(format!("row{}", self.rows));
        let work = self.home.path("work").display().to_string();
        let requirements =
            requirements.replace("WORK", &work).replace("HOST", &self.registry.host());
        let policy = folder.join("policy.json");
        let beside =
            folder.join("sigs").join(format!("app@{}", self.image.digest()).replace(':', "="));
        self.sign(&beside, signatures);
        fs_err::write(&policy, format!(r#"{{"default":[{requirements}]}}"#)).unwrap();
        fs_err::create_dir(folder.join("registries.d")).unwrap();
        let lookaside = format!("default-docker:\n  lookaside: file://{}/sigs\n", folder.display());
        fs_err::write(folder.join("registries.d/x.yaml"), lookaside).unwrap();
        let source = source.replace("DIGEST", self.image.digest().as_str());
        let source = format!("docker://{}", self.name(&source));
        let line = |to: &str| {
            let flags = ["--policy", policy.to_str().unwrap(), "--registries.d"];
            let mut line: Vec<String> = flags.iter().map(ToString::to_string).collect();
            line.push(folder.join("registries.d").display().to_string());
            line.extend(["copy".to_owned(), source.clone()]);
            line.push(format!("dir:{}", folder.join(to).display()));
            line
        };
        let original: PathBuf = original().unwrap();
        (
            run(&self.home, original, &line("theirs")),
            at_home(&self.home, &line("ours").iter().map(String::as_str).collect::<Vec<_>>()),
        )
    }
}

const SIGNED: &str = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"WORK/good.pub"}"#;

fn identity(text: &str) -> String {
    format!("{},\"signedIdentity\":{text}}}", SIGNED.trim_end_matches('}'))
}

/// How a row is compared.
#[derive(Clone, Copy)]
enum As {
    /// The same code and sentence; where GnuPG is quoted, the words before.
    One,
    /// We refuse what the original accepts, for this reason.
    Stricter(&'static str),
    /// The code, as 1.9.3 has other words.
    Code,
    /// We accept what 1.9.3 refuses, for this reason.
    Newer(&'static str),
}

use As::{Code, Newer, One, Stricter};

#[test]
fn the_original_and_we_judge_alike() {
    if original().is_none() || installed("gpg").is_none() {
        skip!("no skopeo or no gpg is installed");
    }
    let mut place = Place::new();
    let host = place.registry.host();
    let payload = place.payload(&place.name("app:1"));
    let name = |it: &str| place.payload(&place.name(it));
    let changed = |from: &str, to: &str| payload.replacen(from, to, 1);
    let key = |it: &str| SIGNED.replace("good.pub", it);
    let rows: Vec<(&str, &str, String, Vec<Signature>, As)> = vec![
        ("good", "app:1", SIGNED.to_owned(), vec![place.good()], One),
        ("by digest", "app@DIGEST", SIGNED.to_owned(), vec![place.good()], One),
        ("none", "app:1", SIGNED.to_owned(), vec![], One),
        ("rsa", "app:1", key("rsa.pub"), vec![place.by("rsa")], One),
        ("armoured keys", "app:1", key("good.asc"), vec![place.good()], One),
        ("a subkey", "app:1", key("sub.pub"), vec![place.by("sub")], Newer("since 1.20, subkeys count for their primary key")),
        ("another key", "app:1", key("other.pub"), vec![place.good()], One),
        ("an expired key", "app:1", key("expired.pub"), vec![place.by("expired")], One),
        ("a revoked key", "app:1", key("revoked.pub"), vec![place.by("revoked")], One),
        ("no keys", "app:1", key("empty.pub"), vec![place.good()], One),
        ("no file", "app:1", key("none.pub"), vec![place.good()], One),
        ("no file, no signature", "app:1", key("none.pub"), vec![], One),
        ("X.509", "app:1", SIGNED.replace("GPGKeys", "X509Certificates"), vec![place.good()], One),
        ("another tag", "app:1", SIGNED.to_owned(), vec![place.of(name("app:2"))], One),
        ("another repository", "app:1", SIGNED.to_owned(), vec![place.of(name("x:1"))], One),
        ("no tag", "app:1", SIGNED.to_owned(), vec![place.of(name("app"))], One),
        ("no tag, by digest", "app@DIGEST", SIGNED.to_owned(), vec![place.of(name("app"))], One),
        ("any tag, by digest", "app@DIGEST", SIGNED.to_owned(), vec![place.of(name("app:9"))], One),
        ("no name", "app:1", SIGNED.to_owned(), vec![place.of(place.payload("A B"))], One),
        ("exact", "app@DIGEST", identity(r#"{"type":"matchExact"}"#), vec![place.of(name("app:9"))], One),
        ("repository", "app:1", identity(r#"{"type":"matchRepository"}"#), vec![place.of(name("app"))], One),
        ("exact reference", "app:1", identity(r#"{"type":"exactReference","dockerReference":"x.example/y:1"}"#), vec![place.of(place.payload("x.example/y:1"))], One),
        ("exact reference, another", "app:1", identity(r#"{"type":"exactReference","dockerReference":"x.example/y:1"}"#), vec![place.good()], One),
        ("exact repository", "app:1", identity(r#"{"type":"exactRepository","dockerRepository":"x.example/y"}"#), vec![place.of(place.payload("x.example/y:7"))], One),
        ("remapped", "app:1", identity(r#"{"type":"remapIdentity","prefix":"HOST","signedPrefix":"x.example"}"#), vec![place.of(place.payload("x.example/app:1"))], One),
        ("not remapped", "app:1", identity(r#"{"type":"remapIdentity","prefix":"HOST","signedPrefix":"x.example"}"#), vec![place.good()], One),
        ("another digest", "app:1", SIGNED.to_owned(), vec![place.of(changed(&place.image.digest().hex()[..4], "0000"))], One),
        ("another type", "app:1", SIGNED.to_owned(), vec![place.of(changed("atomic", "cosmic"))], One),
        ("a member more", "app:1", SIGNED.to_owned(), vec![place.of(changed("\"type\"", "\"x\":1,\"type\""))], One),
        ("a member twice", "app:1", SIGNED.to_owned(), vec![place.of(changed("\"type\"", "\"type\":\"\",\"type\""))], One),
        ("a member of another type", "app:1", SIGNED.to_owned(), vec![place.of(changed("\"atomic container signature\"", "7"))], One),
        ("half a second", "app:1", SIGNED.to_owned(), vec![place.of(changed("1777593600", "0.5"))], Code),
        ("nothing optional", "app:1", SIGNED.to_owned(), vec![place.of(changed("{\"creator\":\"atomic 1\",\"timestamp\":1777593600}", "null"))], Code),
        ("no JSON", "app:1", SIGNED.to_owned(), vec![place.of("x".to_owned())], One),
        ("nothing", "app:1", SIGNED.to_owned(), vec![place.of(String::new())], One),
        ("more behind", "app:1", SIGNED.to_owned(), vec![place.of(format!("{payload}x"))], One),
        ("bad and good", "app:1", SIGNED.to_owned(), vec![place.by("other"), place.good()], One),
        ("two names", "app:1", SIGNED.to_owned(), vec![place.of(name("x:1")), place.of(name("y:1"))], One),
        ("two keys wanted, one there", "app:1", format!("{SIGNED},{}", key("other.pub")), vec![place.good()], One),
        ("two keys wanted, both there", "app:1", format!("{SIGNED},{}", key("other.pub")), vec![place.good(), place.by("other")], One),
        ("reject", "app:1", format!("{SIGNED},{{\"type\":\"reject\"}}"), vec![place.good()], One),
        ("two signatures in one message", "app:1", SIGNED.to_owned(), vec![Signature { flags: "-u good@x.example -u other@x.example".to_owned(), ..place.good() }], One),
        ("an expired signature", "app:1", key("old.pub"), vec![Signature { flags: "-u old@x.example --faked-system-time 20240101T000000! --default-sig-expire 2024-01-05".to_owned(), ..place.good() }], One),
        ("an old signature", "app:1", key("old.pub"), vec![Signature { flags: "-u old@x.example --faked-system-time 20240101T000000!".to_owned(), ..place.good() }], One),
        ("not compressed", "app:1", SIGNED.to_owned(), vec![Signature { flags: "-u good@x.example -z 0".to_owned(), ..place.good() }], One),
        ("compressed by bzip2", "app:1", SIGNED.to_owned(), vec![Signature { flags: "-u good@x.example --compress-algo bzip2".to_owned(), ..place.good() }], One),
        ("SHA-1", "app:1", key("rsa.pub"), vec![Signature { flags: "-u rsa@x.example --digest-algo SHA1".to_owned(), ..place.good() }], Stricter("SHA-1 can be forged")),
        ("text", "app:1", SIGNED.to_owned(), vec![Signature { flags: "-u good@x.example --textmode".to_owned(), ..place.good() }], Stricter("nobody signs images as text")),
    ];
    let mut report = String::new();
    let count = rows.len();
    for (label, source, requirements, signatures, how) in rows {
        let (theirs, ours) = place.copies(source, &requirements, &signatures);
        let words = |run: &Run| fatal(run).replace("theirs", "ours").replace(&host, "HOST");
        let (their, our) = (words(&theirs), words(&ours));
        // GnuPG's own words, of which scripts match the beginning.
        let quoted = |text: &str| text.split("Invalid GPG signature: ").next().map(str::to_owned);
        let why = match how {
            One => "",
            Code => "1.9.3 has other words",
            Stricter(why) | Newer(why) => why,
        };
        let fine = match how {
            One if their.contains("Invalid GPG signature: ") => {
                theirs.code == ours.code
                    && our.contains("Invalid GPG signature: ")
                    && quoted(&their) == quoted(&our)
            }
            // 1.9.3 did not quote names.
            One => theirs.code == ours.code && their.replace('"', "") == our.replace('"', ""),
            Code => theirs.code == ours.code,
            Newer(_) => theirs.code == Some(1) && ours.code == Some(0),
            Stricter(_) => theirs.code == Some(0) && ours.code == Some(1),
        };
        if !fine {
            let _ = writeln!(
                report,
                "== {label} {why}\n{:?} {their}\n{:?} {our}",
                theirs.code, ours.code
            );
        }
    }
    assert!(report.is_empty(), "{report}");
    assert!(count >= 45);
}

/// Signs the manifest with this digest for this name, and puts the signature there.
fn sign_at(place: &Place, file: &Path, digest: &str, name: &str) {
    let payload = place.payload(name).replace(place.image.digest().as_str(), digest);
    let folder = place.home.path("work/one");
    place.sign(&folder, &[place.of(payload)]);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::rename(folder.join("signature-1"), file).unwrap();
}

fn policy_of(place: &Place, requirement: &str) {
    let work = place.home.path("work").display().to_string();
    let text = format!("{{\"default\":[{}]}}", requirement.replace("WORK", &work));
    place.home.policy(&serde_json::from_str(&text).unwrap());
}

const NONE: &str = "Source image rejected: A signature was required, but no signature exists";

#[test]
fn sigstore_signatures_in_folders() {
    if installed("openssl").is_none() {
        skip!("no openssl is installed");
    }
    let home = Home::new();
    let image = Image::new(1);
    image.write_dir(&home.path("work/image"));
    let payload = format!(
        r#"{{"critical":{{"identity":{{"docker-reference":"x.example/y"}},"image":{{"docker-manifest-digest":"{}"}},"type":"cosign container image signature"}},"optional":null}}"#,
        image.digest()
    );
    home.write("work/payload", &payload);
    run(&home, "/bin/sh", &["-ec", r#"
openssl ecparam -name prime256v1 -genkey -noout -out key.pem
openssl ec -in key.pem -pubout -out key.pub
signature=$(openssl dgst -sha256 -sign key.pem payload | base64 -w0)
{ printf '\0sigstore-json\n{"mimeType":"application/vnd.dev.cosign.simplesigning.v1+json","payload":"'
  base64 -w0 payload
  printf '","annotations":{"dev.cosignproject.cosign/signature":"%s"}}' "$signature"
} > image/signature-1
"#]).success();
    let key = home.path("work/key.pub").display().to_string();
    let policy = |repository: &str| {
        home.policy(&serde_json::json!({"default": [{
            "type": "sigstoreSigned", "keyPath": key,
            "signedIdentity": {"type": "exactRepository", "dockerRepository": repository},
        }]}));
    };
    let copy = |to: &str| at_home(&home, &["copy", "dir:image", &format!("dir:{to}")]);
    policy("x.example/z");
    let error = fatal(&copy("no"));
    assert_eq!(
        error,
        "Source image rejected: Signature for identity \"x.example/y\" is not accepted"
    );
    policy("x.example/y");
    copy("yes").success();
    // It went with the image, and is as good there.
    let again = at_home(&home, &["copy", "dir:yes", "dir:again"]).success();
    assert!(again.stdout.contains("Checking if image destination supports signatures"), "{again}");
}

/// `--retry-times` holds for the manifest and the signatures too, not for opening the image alone.
#[test]
fn what_a_policy_judges_is_asked_for_again() {
    for words in [&["policy", "check"][..], &["layers"]] {
        let registry = Registry::start();
        Image::new(1).push(&registry, "app:1");
        let home = Home::new();
        home.insecure(&[&registry.host()]);
        let name = registry.docker("app:1");
        for (retries, code) in [("0", 1), ("1", 0)] {
            // More often than a request is tried again on its own.
            registry.fault(Fault::status(On::manifests(), 503).times(7));
            let flags = ["--retry-delay=1ms", "--retry-times", retries, &name];
            let run = at_home(&home, &[words, &flags].concat());
            assert_eq!(run.code, Some(code), "{words:?} {run}");
            registry.mend();
        }
    }
}
