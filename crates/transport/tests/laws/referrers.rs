//! How referrers are asked for in a registry.

use std::time::Duration;

use futures_util::future::{Either, select};
use skopeo_testkit::{Fault, On};
use skopeo_transport::ReferrerSearch;

use crate::{Place, Sample};

/// The list of the registry and each tag of cosign's are asked for at once: where one answer does
/// not come, the other questions have been asked.
#[tokio::test]
async fn no_question_waits_for_the_answer_to_another() {
    let questions = [On::referrers(), tag(".sig"), tag(".att"), tag(".sbom")];
    for search in [ReferrerSearch::Any, ReferrerSearch::All] {
        for silent in &questions {
            let place = Place::docker().await;
            let sample = Sample::new(1);
            sample.put(place.create().await).await.unwrap();
            let source = place.open().await.unwrap();
            let registry = place.registry();
            registry.fault(Fault::silence(silent.clone()));
            let digest = sample.digest();
            let answer = source.referrers(&digest, search);
            let asked = Box::pin(async {
                while questions.iter().any(|question| registry.count(question) == 0) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
            assert!(matches!(select(asked, answer).await, Either::Left(_)), "{silent:?}");
        }
    }
}

fn tag(end: &str) -> On {
    On::manifests().method("HEAD").containing(end)
}
