//! Whether a log that is believed has the signature of a bundle, and since when.

use super::bundle::{Entry, Proof};
use super::checkpoint::Checkpoint;
use super::merkle;
use super::record::{self, Signed};
use super::rekor::{self, Log};

/// A log that has the signature.
#[derive(Debug)]
pub(super) struct Proven<'a> {
    pub(super) log: &'a Log,
    /// When it took it in, in seconds since 1970, if it signed that.
    pub(super) time: Option<i64>,
}

/// The logs that have it. Entries of logs that are not believed say nothing; what one of the others
/// has to say must be right, all of it.
pub(super) fn prove<'a>(
    logs: &'a [Log],
    entries: &[Entry],
    signed: Signed<'_>,
) -> Result<Vec<Proven<'a>>, String> {
    let mut proven = Vec::new();
    for entry in entries {
        let own: Vec<&Log> =
            logs.iter().filter(|log| log.name() == entry.log_id.key_id.0).collect();
        if own.is_empty() {
            continue;
        }
        record::matches(entry, signed)?;
        // A log may be named twice, with two times in which its key was in use.
        let tried: Vec<_> = own.into_iter().map(|log| prove_one(log, entry)).collect();
        let mut failed = None;
        let mut good = Vec::new();
        for outcome in tried {
            match outcome {
                Ok(found) => good.push(found),
                Err(why) => failed = Some(why),
            }
        }
        match failed {
            Some(why) if good.is_empty() => return Err(why.to_owned()),
            _ => proven.append(&mut good),
        }
    }
    if proven.is_empty() {
        return Err("no trusted log has an entry for it".to_owned());
    }
    Ok(proven)
}

fn prove_one<'a>(log: &'a Log, entry: &Entry) -> Result<Proven<'a>, &'static str> {
    let body = &entry.canonicalized_body.0;
    let mut time = None;
    if let Some(promise) = &entry.inclusion_promise {
        let signed_ = &promise.signed_entry_timestamp.0;
        let number = |number: u64| i64::try_from(number).unwrap_or(-1);
        let (then, index) = (number(entry.integrated_time.0), number(entry.log_index.0));
        if !rekor::promised(log, body, then, index, signed_) {
            return Err("the log's promise of the entry is not valid");
        }
        time = Some(then);
    }
    match &entry.inclusion_proof {
        Some(proof) if is_included(log, body, proof) => {}
        Some(_) => return Err("the proof that the entry is in the log is not valid"),
        None if time.is_none() => return Err("the log's entry has neither promise nor proof"),
        None => {}
    }
    Ok(Proven { log, time })
}

fn is_included(log: &Log, body: &[u8], proof: &Proof) -> bool {
    let path = proof.hashes.iter().map(|it| it.0.as_slice().try_into().ok());
    let Some(path) = path.collect::<Option<Vec<merkle::Hash>>>() else { return false };
    let Some(root) = merkle::root(body, proof.log_index.0, proof.tree_size.0, &path) else {
        return false;
    };
    let Some(checkpoint) = Checkpoint::parse(&proof.checkpoint.envelope) else { return false };
    proof.root_hash.0 == root
        && checkpoint.root == root
        && checkpoint.size == proof.tree_size.0
        && checkpoint.is_by(&log.key)
}
