use skopeo_copy::BlobKind;

use super::*;
use crate::testing::{Memory, tasks};

#[test]
fn what_a_first_attempt_sent_is_not_saved_by_the_second() {
    let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
    let (begun, bytes) = (Instant::now(), Bytes::default());
    let mut flight = Flight { begun, tasks: Vec::new(), bytes, blobs: HashMap::new() };
    let start = |digest: &Digest| {
        Event::Blob(BlobEvent::Started {
            digest: digest.clone(),
            size: None,
            kind: BlobKind::Layer,
        })
    };
    let done = |digest: &Digest, size| {
        Event::Blob(BlobEvent::Done { digest: digest.clone(), stored: digest.clone(), size })
    };
    let present = |digest: &Digest| {
        Event::Blob(BlobEvent::Reused { digest: digest.clone(), how: How::Present })
    };
    for event in [
        start(&a),
        Event::Blob(BlobEvent::Read { digest: a.clone(), bytes: 12 }),
        done(&a, 10),
        // The same layer twice.
        start(&a),
        present(&a),
        done(&a, 10),
        // Once more from the beginning.
        start(&a),
        present(&a),
        done(&a, 10),
        start(&b),
        present(&b),
        done(&b, 5),
    ] {
        flight.observe(&event);
    }
    assert_eq!(flight.bytes, Bytes { read: 12, written: 10, reused: 5, ..Bytes::default() });
}

#[tokio::test]
async fn what_is_on_its_way_is_told_as_far_as_it_is() {
    let outcomes = Outcomes::new(Arc::new(()));
    let tasks = tasks(&Memory::default(), "dir:/fake", &["dir:/a", "dir:/b", "dir:/c"]);
    outcomes.expect(&tasks).unwrap();
    let ids: Vec<TaskId> = tasks.iter().map(SyncTask::id).collect();
    outcomes.attempt(ids[0], &[&tasks[0]]);
    outcomes.attempt(ids[1], &[&tasks[1]]);
    let digest = Digest::sha256(b"a");
    outcomes.copying(ids[1], &Event::Blob(BlobEvent::Read { digest, bytes: 7 }));
    outcomes.attempt(ids[0], &[&tasks[0]]);
    outcomes.end(ids[0]);
    outcomes.failed(ids[0], &Error::refused("cut").step("reading"));
    let images = outcomes.so_far().images;
    let told: Vec<_> = images.iter().map(|it| (it.outcome, it.attempts, it.bytes.read)).collect();
    let expected =
        [(Outcome::Failed, 2, 0), (Outcome::Unfinished, 1, 7), (Outcome::NotBegun, 0, 0)];
    assert_eq!(told, expected);
    let problem = images[0].error.clone().unwrap();
    assert_eq!((&*problem.class, &*problem.message), ("other", "reading: cut"));
}
