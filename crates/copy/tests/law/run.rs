//! One case: a dry run of some images, and the run after it.

use std::sync::{Arc, Mutex};

use skopeo_copy::{
    Change, Error, Event, Forecast, ImageEstimate, Lists, Others, Outcome, Request, Session,
    WriteError, copy, estimate, sentence,
};
use skopeo_trust::Policy;

use crate::tally::Tally;
use crate::world::World;

/// An image of the source by its tag, and the name that it gets.
pub(crate) type Task<'a> = (&'a str, &'a str);

/// How far a case came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// All images were copied, or were there.
    ToItsEnd,
    /// One of the images could not be copied.
    Refused,
}

/// What a copy did.
struct Done {
    outcome: Outcome,
    tally: Tally,
}

async fn estimated(
    world: &World,
    tasks: &[Task<'_>],
    request: &Request,
) -> Vec<Result<ImageEstimate, Error>> {
    let options = World::options();
    let to = world.collection(&options).await;
    let session = Session::new(Arc::new(|_| ()));
    let (policy, forecast) = (Policy::insecure(), Forecast::default());
    let mut told = Vec::new();
    for (tag, name) in tasks {
        let source = world.open(tag, &options).await;
        let probe = to.look(&to.name(&world.label(name)).unwrap()).await.unwrap();
        let one = estimate(&session, &*source, &*probe, &policy, request, &forecast).await;
        let is_refused = one.is_err();
        told.push(one);
        if is_refused {
            break;
        }
    }
    told
}

async fn copied(world: &World, tasks: &[Task<'_>], request: &Request) -> Vec<Result<Done, Error>> {
    let options = World::options();
    let to = world.collection(&options).await;
    let events: Arc<Mutex<Vec<Event>>> = Arc::default();
    let seen = events.clone();
    let session = Session::new(Arc::new(move |event| seen.lock().unwrap().push(event)));
    let policy = Policy::insecure();
    let mut done = Vec::new();
    for (tag, name) in tasks {
        let source = world.open(tag, &options).await;
        let destination = to.create(&to.name(&world.label(name)).unwrap()).await.unwrap();
        let one = copy(&session, &*source, destination, &policy, request).await;
        let tally = Tally::of(&std::mem::take(&mut *events.lock().unwrap()));
        let is_refused = one.is_err();
        done.push(one.map(|copied| Done { outcome: copied.outcome, tally }));
        if is_refused {
            break;
        }
    }
    to.finish().await.unwrap();
    done
}

/// Holds the dry run of some images, one after the other, against the run.
pub(crate) async fn hold(world: &World, tasks: &[Task<'_>], request: &Request, case: &str) -> Held {
    let case = format!("{case}, into {:?}", world.kind);
    world.forget();
    let told = estimated(world, tasks, request).await;
    world.require_untouched(&case);
    world.forget();
    let done = copied(world, tasks, request).await;
    let requests = world.lines().join("\n");
    let mut held = Held::ToItsEnd;
    for ((told, done), task) in told.iter().zip(&done).zip(tasks) {
        let case = format!("{task:?} of {case}\n{told:?}");
        match (told, done) {
            (Ok(told), Ok(Done { outcome, tally })) => {
                let case = format!("{case}\n{tally:?}\n{requests}");
                assert_eq!(
                    told.change == Change::Unchanged,
                    *outcome == Outcome::Present,
                    "{case}"
                );
                tally.require(told, &case);
            }
            (Err(told), Err(done)) => {
                assert_eq!(shown(told), shown(done), "{case}");
                held = Held::Refused;
            }
            (Err(_), Ok(_)) => panic!("{case}: refused before, and copied then"),
            // What a conversion comes to shows only when it is done.
            (
                Ok(told),
                Err(Error::Write(WriteError::Convert(_)) | Error::Write(WriteError::NoType { .. })),
            ) if !told.exact => {
                held = Held::Refused;
            }
            // A registry may refuse an index that names what it does not have.
            (Ok(_), Err(Error::Write(WriteError::NoIndexType { .. }))) if is_sparse(request) => {
                held = Held::Refused;
            }
            (Ok(_), Err(done)) => panic!("{case}: failed only then: {}", sentence(done)),
        }
    }
    if held == Held::ToItsEnd {
        assert_eq!(told.len(), done.len(), "{case}");
        world.require(&told, &format!("{case}\n{told:?}\n{requests}"));
    }
    held
}

/// Whether a copy may write an index without all that it names.
fn is_sparse(request: &Request) -> bool {
    matches!(request.lists, Lists::IndexOnly | Lists::Platforms { others: Others::Keep, .. })
}

/// An error as text, without what differs from run to run: which of several images fails first.
fn shown(error: &Error) -> String {
    let text = sentence(error);
    match text.split_once("copying image ") {
        Some((before, after)) => format!(
            "{before}{}",
            after.trim_start_matches(|it: char| it.is_ascii_digit() || it == '/')
        ),
        None => text,
    }
}
