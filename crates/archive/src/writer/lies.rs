//! Many who write to one tar at the same time, of whom some lie, fail or go away: a story told by
//! bytes, for tests and for the fuzzer. However it goes, what is in the tar in the end is what its
//! names say, and who was honest is in it.

use std::io::Write;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::{self, Either};
use futures_util::stream::{self, StreamExt};
use skopeo_blob::{Blob, ByteStream, StreamError, Unverified, split};
use skopeo_image::Digest;

use super::{Existing, Writer};
use crate::Stamp;
use crate::error::TarWriteError;
use crate::{Archive, Scratch};

/// The lengths of the contents that there are.
const LENGTHS: [usize; 8] = [0, 1, 511, 512, 513, 3000, 70_000, 300_000];

/// Lengths that no content has.
const HUGE: [u64; 8] = [
    u64::MAX,
    u64::MAX - 511,
    u64::MAX - 512,
    u64::MAX - 1024,
    1 << 63,
    i64::MAX as u64,
    1 << 45,
    5 << 30,
];

/// An empty file beside `path`.
pub(super) fn beside(path: &Path) -> (tempfile::TempPath, fs_err::File) {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let (file, temporary) = tempfile::NamedTempFile::new_in(folder).expect("a file").into_parts();
    (temporary, fs_err::File::from_parts(file, path))
}

/// Plays the story that `data` tells, in `folder`.
///
/// # Panics
/// If a byte of the tar is another than its name says, or somebody honest failed.
pub(crate) fn play(data: &[u8], folder: &Path) {
    let Some((how, puts)) = data.split_first() else { return };
    let (for_many, to_pipe) = (how & 1 == 0, how & 6 == 6);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let puts: Vec<Put> = puts.as_chunks().0.iter().take(40).map(Put::new).collect();
    let path = folder.join("tar");
    let pipe = Pipe::default();
    let writer = if to_pipe {
        Writer::stream(pipe.clone(), folder)
    } else {
        let existing = Stamp::at(&path).map_or(Existing::None, Existing::Replace);
        Writer::create(beside(&path), &path, existing, folder)
    };
    let writer = if for_many { writer.for_many() } else { writer };
    let finished = runtime.block_on(async {
        let done = future::join_all(puts.iter().map(|put| put.run(&writer))).await;
        let finished = writer.finish().await;
        let is_whole = puts.iter().zip(&done).all(|(put, done)| match done {
            Some(Ok((digest, size))) => {
                let content = put.content();
                *digest == Digest::sha256(&content) && *size == content.len() as u64
            }
            Some(Err(error)) if put.is_honest() && (for_many || !to_pipe) => {
                panic!("{put:?} failed: {error:?}")
            }
            _ => true,
        });
        assert!(is_whole, "{puts:?}: {done:?}");
        finished.map(|()| done)
    });
    // One image is written by one, who does not end what was abandoned or is broken.
    let Ok(done) = finished else {
        assert!(!for_many, "{puts:?}: {finished:?}");
        return;
    };
    if to_pipe {
        let bytes = pipe.0.lock().unwrap_or_else(PoisonError::into_inner);
        fs_err::write(&path, &*bytes).expect("a file");
    }
    let archive = Archive::open(&path, &Scratch::at(folder)).expect("a tar");
    let mut end = 1024;
    for (name, member) in archive.members() {
        let bytes = archive.read(name, u64::MAX).expect("a member").expect("a member");
        assert_eq!(Digest::sha256(&bytes).hex(), name, "{puts:?}");
        end += 512 + member.size.next_multiple_of(512);
    }
    assert_eq!(fs_err::metadata(&path).expect("a file").len(), end, "nothing else is there");
    for (digest, _) in done.into_iter().flatten().flatten() {
        assert!(archive.find(digest.hex()).expect("a member").is_some(), "{digest}: {puts:?}");
    }
}

/// A blob that somebody brings.
#[derive(Clone, Copy, Debug)]
struct Put {
    content: u8,
    lie: Lie,
    number: u8,
    /// How often others get on before it is abandoned.
    abandoned: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// None.
    Honest,
    /// None, but only hearsay says how long it is.
    Unannounced,
    /// None, but it has no name yet.
    Unnamed,
    /// None, and it goes elsewhere, too.
    Shared,
    /// It is longer than there are bytes, and the source says the same.
    Longer,
    /// No file can be so long.
    Huge,
    /// The same, by hearsay.
    HugeUnannounced,
    /// It ends before its end.
    Short,
    /// Its last byte is another.
    Corrupt,
    /// The same, and it goes elsewhere, too.
    CorruptShared,
    /// It is another.
    Swapped,
    /// More comes than is said.
    TooMuch,
    /// The line breaks.
    Broken,
    /// It falls silent for ever.
    Silent,
}

impl Put {
    fn new(data: &[u8; 4]) -> Self {
        use Lie::{
            Broken, Corrupt, CorruptShared, Honest, Huge, HugeUnannounced, Longer, Shared, Short,
            Silent, Swapped, TooMuch, Unannounced, Unnamed,
        };
        let lies = [
            Honest,
            Unannounced,
            Unnamed,
            Shared,
            Longer,
            Huge,
            HugeUnannounced,
            Short,
            Corrupt,
            CorruptShared,
            Swapped,
            TooMuch,
            Broken,
            Silent,
            Honest,
            Huge,
        ];
        let [content, lie, number, abandoned] = *data;
        let lie = lies[usize::from(lie) % lies.len()];
        let abandoned = (abandoned < 40 || lie == Silent).then_some(abandoned);
        Self { content, lie, number, abandoned }
    }

    fn is_honest(&self) -> bool {
        use Lie::{Honest, Shared, Unannounced, Unnamed};
        matches!(self.lie, Honest | Unannounced | Unnamed | Shared)
    }

    fn content(&self) -> Bytes {
        content(self.content)
    }

    /// What comes of it; nothing if it was abandoned.
    async fn run(&self, writer: &Writer) -> Option<Result<(Digest, u64), TarWriteError>> {
        let put = pin!(self.put(writer));
        let Some(turns) = self.abandoned else { return Some(put.await) };
        let wait = pin!(async {
            for _ in 0..turns {
                tokio::task::yield_now().await;
            }
        });
        match future::select(put, wait).await {
            Either::Left((done, _)) => Some(done),
            Either::Right(_) => None,
        }
    }

    async fn put(&self, writer: &Writer) -> Result<(Digest, u64), TarWriteError> {
        let name = |digest: &Digest| Some(digest.hex().to_owned());
        let blob = self.blob();
        if !matches!(self.lie, Lie::Shared | Lie::CorruptShared) {
            return writer.put_blob(blob, name).await;
        }
        let (mut blobs, pump) = split(blob, 1);
        match blobs.pop() {
            Some(blob) => pump.feed(writer.put_blob(blob, name)).await.0,
            None => Err(TarWriteError::Unfinished),
        }
    }

    fn blob(&self) -> Blob {
        let content = self.content();
        let (digest, len) = (Digest::sha256(&content), content.len() as u64);
        let huge = HUGE[usize::from(self.number) % HUGE.len()];
        let at = usize::from(self.number) * content.len() / 256;
        let bytes = self.pieces(content.clone());
        let said = |stream, size| Unverified::new(stream, Some(size)).expect(&digest, Some(size));
        let heard = |stream, size| Unverified::new(stream, None).expect(&digest, Some(size));
        match self.lie {
            Lie::Honest | Lie::Shared => said(bytes, len),
            Lie::Unannounced => heard(bytes, len),
            Lie::Unnamed => Blob::unnamed(bytes),
            Lie::Longer => said(bytes, len + 1 + u64::from(self.number) * 300),
            Lie::Huge => said(bytes, huge),
            Lie::HugeUnannounced => heard(bytes, huge),
            Lie::Short => said(self.pieces(content.slice(..at)), len + 1),
            Lie::Corrupt | Lie::CorruptShared => {
                let mut bytes = content.to_vec();
                match bytes.last_mut() {
                    Some(byte) => *byte ^= 1,
                    None => bytes.push(0),
                }
                said(self.pieces(bytes.into()), len)
            }
            Lie::Swapped => said(self.pieces(other(self.content)), len),
            Lie::TooMuch => {
                let more = vec![7; 1 + usize::from(self.number) * 1000];
                said(bytes.chain(self.pieces(more.into())).boxed(), len)
            }
            Lie::Broken => {
                let broken = StreamError::Read { source: "cut".into(), transient: true, tried: 1 };
                let bytes = self.pieces(content.slice(..at));
                said(bytes.chain(stream::iter([Err(broken)])).boxed(), len)
            }
            Lie::Silent => {
                said(self.pieces(content.slice(..at)).chain(stream::pending()).boxed(), len)
            }
        }
    }

    /// Bytes that come bit by bit, while others get on.
    fn pieces(&self, bytes: Bytes) -> ByteStream {
        let size = 1 + usize::from(self.number) * 900;
        let pieces: Vec<Bytes> =
            bytes.chunks(size.max(bytes.len() / 40)).map(Bytes::copy_from_slice).collect();
        let turns = self.number % 4;
        stream::iter(pieces)
            .then(move |piece| async move {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                Ok(piece)
            })
            .boxed()
    }
}

/// One of a few contents, so that several bring the same.
fn content(number: u8) -> Bytes {
    let len = LENGTHS[usize::from(number) % LENGTHS.len()];
    (0..len).map(|at| (at.wrapping_mul(31) >> 3) as u8 ^ (number & 15)).collect()
}

/// Another content, which is no shorter than others are.
fn other(number: u8) -> Bytes {
    content(number).iter().map(|byte| byte.wrapping_add(99)).chain([1]).collect()
}

/// A pipe whose other end is in memory.
#[derive(Clone, Debug, Default)]
struct Pipe(Arc<Mutex<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
