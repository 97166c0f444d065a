//! What is asked of copies.

use std::sync::Arc;

use skopeo_blob::crypt::Recipients;
use skopeo_copy::{
    CompressTo, Digests, Encryption, Format, Lists, OtherFormats, Others, Referrers, Request,
    Selection,
};
use skopeo_image::{Compression, Platform};

/// Nobody has the private key: it was not kept.
const KEY: &[u8] = b"\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu3u+7RwC3xAZQw+Igynm
dqmoVqZEN6ibYz1UEISyORpKBeuK9qzk3niPTR/eeJjtyIAH0RX+vqoRn1qfjYDH
jCjGaSiODVCXQN7XWhGiyubG2YiO5atSSxBs5OwKkg9oTteH0Ygf4RClCOIqVaqO
pzFiFKaYd9eZVNhwPErYfiTq2VFp/Q27uF6jyhE5sg5tHIkwa1AGVXDxnMGrn8SQ
60pgaHxy5XjVFcZY7WUtJxJZ+KEOmCqJpLC80/pGB/DVZkugWTh8ge5brkZjV7Rn
N0apfyGzcHXL2L324fVaXEsAH490+bDiQ3irCT7RPqV7bSs4J3d/nP2AIIMq+ccu
3QIDAQAB
-----END PUBLIC KEY-----
";

/// What is asked if nothing is asked for.
pub(crate) fn usual() -> Request {
    Request::new(Platform::new("linux", "amd64", ""))
}

/// That layers are packed so.
pub(crate) fn to(format: Compression, others: OtherFormats) -> CompressTo {
    CompressTo { format, level: None, others }
}

/// That the images of an index for one platform are copied.
pub(crate) fn platforms(others: Others) -> Lists {
    Lists::Platforms { wanted: vec!["linux/amd64".parse().unwrap()], others }
}

/// That layers are encrypted.
pub(crate) fn encrypted() -> Encryption {
    let mut recipients = Recipients::default();
    recipients.add_jwe(KEY).unwrap();
    Encryption::Encrypt { recipients: Arc::new(recipients), layers: Vec::new() }
}

/// What is asked, by a name for those who read a failure.
pub(crate) fn requests() -> Vec<(&'static str, Request)> {
    let of = |lists| Request { lists, ..usual() };
    let zstd = Some(to(Compression::Zstd, OtherFormats::Reuse));
    let only_zstd = to(Compression::Zstd, OtherFormats::Refuse);
    let added = vec![to(Compression::Zstd, OtherFormats::Reuse)];
    let referrers = || Referrers::Copy(Selection::all());
    vec![
        ("nothing", usual()),
        ("heads first", Request { heads_first: true, ..usual() }),
        ("all", of(Lists::All)),
        ("platforms", of(platforms(Others::Remove))),
        ("zstd", Request { compression: zstd, ..usual() }),
        ("zstd of all", Request { compression: zstd, ..of(Lists::All) }),
        ("nothing but zstd", Request { compression: Some(only_zstd), ..usual() }),
        ("OCI", Request { format: Some(Format::Oci), ..of(Lists::All) }),
        ("schema 2", Request { format: Some(Format::DockerSchema2), ..of(Lists::All) }),
        ("the same digests", Request { digests: Digests::Preserve, ..of(Lists::All) }),
        ("zstd beside gzip", Request { added, ..of(Lists::All) }),
        ("encryption", Request { encryption: Some(encrypted()), ..of(Lists::All) }),
        ("referrers", Request { referrers: referrers(), ..usual() }),
        ("referrers of all", Request { referrers: referrers(), ..of(Lists::All) }),
    ]
}
