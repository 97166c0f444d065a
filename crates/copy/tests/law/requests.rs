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
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = usual();
        change(&mut request);
        request
    };
    let of = |lists: Lists| with(&|it| it.lists = lists.clone());
    let of_all = |change: &dyn Fn(&mut Request)| {
        with(&|it| {
            it.lists = Lists::All;
            change(it);
        })
    };
    let zstd = Some(to(Compression::Zstd, OtherFormats::Reuse));
    let only_zstd = to(Compression::Zstd, OtherFormats::Refuse);
    let added = vec![to(Compression::Zstd, OtherFormats::Reuse)];
    let referrers = || Referrers::Copy(Selection::all());
    vec![
        ("nothing", usual()),
        ("heads first", with(&|it| it.heads_first = true)),
        ("all", of(Lists::All)),
        ("platforms", of(platforms(Others::Remove))),
        ("zstd", with(&|it| it.compression = zstd)),
        ("zstd of all", of_all(&|it| it.compression = zstd)),
        ("nothing but zstd", with(&|it| it.compression = Some(only_zstd))),
        ("OCI", of_all(&|it| it.format = Some(Format::Oci))),
        ("schema 2", of_all(&|it| it.format = Some(Format::DockerSchema2))),
        ("the same digests", of_all(&|it| it.digests = Digests::Preserve)),
        ("zstd beside gzip", of_all(&|it| it.added = added.clone())),
        ("encryption", of_all(&|it| it.encryption = Some(encrypted()))),
        ("referrers", with(&|it| it.referrers = referrers())),
        ("referrers of all", of_all(&|it| it.referrers = referrers())),
    ]
}
