//! Copying to all destinations, group by group.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use skopeo_transport::{
    CommitError, Destination, Error as TransportError, PutManifestError, Source,
};
use skopeo_trust::Policy;

use super::child::End;
use super::reading::{ReadManifests, Reading};
use super::{Fanout, Placed};
use crate::selection::Referrers;
use crate::{BlobError, Copied, Error, ReferrersError, Request, Session, WriteError, copy};

/// Copies what `source` names to all of the destinations, and says of each, in their order, what
/// became of it. What can be written to several of them alike is read once; where they differ (plain
/// layers for one and packed ones for another, a manifest that one of them refuses) it is read
/// again. A failure of one destination is that one's; a failure of the source is everybody's, and so
/// shared.
pub async fn copy_to_all(
    session: &Session,
    source: &dyn Source,
    destinations: Vec<Box<dyn Destination>>,
    policy: &Policy,
    request: &Request,
) -> Vec<Result<Copied, Error>> {
    let mut results = Vec::with_capacity(destinations.len());
    let alone = |destination| async {
        let copied: BoxFuture<'_, _> =
            Box::pin(copy(session, source, destination, policy, request));
        copied.await
    };
    // Each signs under its own name, so that what is written differs.
    let apart = request.signing.is_asked() && request.signing.identity.is_none();
    let seen = ReadManifests::new(Arc::clone(session.indexes()));
    let reading = Reading { source, seen: seen.clone() };
    let destinations = destinations.into_iter().enumerate();
    let mut groups: VecDeque<Vec<Placed>> = match apart {
        true => destinations.map(|placed| vec![placed]).collect(),
        false if differs(request) => Fanout::groups(destinations).into(),
        false => Fanout::unchanged_groups(destinations).into(),
    };
    while let Some(group) = groups.pop_front() {
        let group = match <[_; 1]>::try_from(group) {
            Ok([(at, destination)]) => {
                results.push((at, alone(destination).await));
                continue;
            }
            Err(group) => group,
        };
        let Some((fanout, ends)) = Fanout::new(group, seen.clone()) else { continue };
        let is_mixed = fanout.is_mixed();
        let copied: BoxFuture<'_, _> =
            Box::pin(copy(session, &reading, Box::new(fanout), policy, request));
        let copied = copied.await.map_err(Arc::new);
        let mut otherwise = Vec::new();
        for (at, end) in ends.take() {
            let result = match (end, &copied) {
                (End::Failed(error), _) => Err(error),
                (End::Done(outcome), Ok(copied)) => Ok(Copied { outcome, ..copied.clone() }),
                (End::Open(destination) | End::Otherwise(destination), Err(error))
                    if !is_own(error) =>
                {
                    destination.abandon().await;
                    Err(Error::Shared(Arc::clone(error)))
                }
                (End::Otherwise(destination), _) => {
                    otherwise.push((at, destination));
                    continue;
                }
                // What they have in common is not what each of them has.
                (End::Open(destination), Err(_)) if is_mixed => {
                    otherwise.push((at, destination));
                    continue;
                }
                (End::Open(destination), _) => alone(destination).await,
                (End::Done(_), Err(error)) => Err(Error::Shared(Arc::clone(error))),
            };
            results.push((at, result));
        }
        groups.extend(Fanout::groups(otherwise));
    }
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Whether what is asked for becomes of the image what not all places have: another form, or
/// its referrers.
fn differs(request: &Request) -> bool {
    matches!(request.referrers, Referrers::Copy(_))
        || request.format.is_some()
        || request.compression.is_some()
        || request.encryption.is_some()
        || !request.added.is_empty()
}

/// Whether a failure of several destinations together says nothing about one of them alone.
fn is_own(error: &Error) -> bool {
    match error {
        Error::SystemImage(source)
        | Error::OfIndex { source, .. }
        | Error::Replicating { source, .. }
        | Error::Referrers(ReferrersError::Copy { source, .. }) => is_own(source),
        Error::Plan(_)
        | Error::Write(WriteError::NoType { .. })
        | Error::Write(WriteError::NoIndexType { .. }) => true,
        Error::Blob(BlobError::Reuse { source, .. })
        | Error::Blob(BlobError::Write { source, .. }) => is_none_left(source),
        Error::Write(WriteError::Signatures(source))
        | Error::Referrers(ReferrersError::Find(source))
        | Error::Write(WriteError::Commit(source)) => is_none_left(source),
        Error::Write(WriteError::Manifest(source)) => match &**source {
            PutManifestError::TypeRejected { .. } => true,
            PutManifestError::Other(source) => is_none_left(source),
        },
        _ => false,
    }
}

fn is_none_left(error: &TransportError) -> bool {
    matches!(error, TransportError::Commit(CommitError::NoDestinationLeft))
}
