//! A layer gets into the store.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use skopeo_image::{Digest, Timestamp};

use super::{StagedLayer, Store};
use crate::below::Below;
use crate::contents::Applied;
use crate::error::{Error, Result};
use crate::files;
use crate::layer::{Layer, NewLayer, layer_id};
use crate::lists::{LayerList, Layers, chain};
use crate::records::{LayerRecord, Record, flags};
use crate::temporary::Temporary;

impl Store {
    /// Unpacks a layer and puts it into the store. One that is there is left as it is, and is what
    /// is returned.
    ///
    /// # Errors
    /// As [`stage`](Self::stage) and [`commit`](Self::commit).
    pub fn put_layer(&self, new: NewLayer, tar: impl Read) -> Result<Layer> {
        let below = new.parent.clone().map_or(Below::Nothing, Below::Layer);
        let staged = self.stage(&below, tar)?;
        self.commit(staged, new)
    }

    /// Puts a layer into the store that is unpacked. One of its id that is there is left as it is,
    /// and is what is returned.
    ///
    /// # Errors
    /// If it is not what was expected, if the parent is not there, is a container's or another one
    /// than it was unpacked onto, or if the store cannot be written.
    pub fn commit(&self, staged: StagedLayer, new: NewLayer) -> Result<Layer> {
        if let Some(expected) = new.expected_diff.as_ref()
            && expected.algorithm() == staged.applied.diff_digest.algorithm()
            && *expected != staged.applied.diff_digest
        {
            let expected = expected.clone();
            return Err(Error::DiffMismatch { expected, actual: staged.applied.diff_digest });
        }
        if let Some(made_for) = &staged.parent
            && *made_for != new.parent
        {
            let text = |parent: &Option<String>| parent.clone().unwrap_or_default();
            return Err(Error::OtherParent { id: text(&new.parent), made_for: text(made_for) });
        }
        let parent = new.parent.clone();
        let diff = &staged.applied.diff_digest;
        let id = new.id.clone().unwrap_or_else(|| layer_id(parent.as_deref(), diff));
        files::check_id(&id)?;
        self.ready_layers()?;

        // Dropped after the locks, so that nothing is removed while others wait.
        let mut removed: Vec<Temporary> = Vec::new();
        let layer = self.commit_as(&id, &staged, &new, &mut removed);
        drop(staged);
        layer
    }

    fn commit_as(
        &self,
        id: &str,
        staged: &StagedLayer,
        new: &NewLayer,
        removed: &mut Vec<Temporary>,
    ) -> Result<Layer> {
        let inner = &self.0;
        let (mut writing, cleaned) = self.write_layers()?;
        removed.extend(cleaned);
        let additional =
            inner.additional_layers.iter().map(Layers::read).collect::<Result<Vec<_>>>()?;
        if let Some(there) = writing.list.layer(id) {
            return Ok(there.layer(false));
        }
        let there = additional.iter().find_map(|layers| layers.list().layer(id));
        if let Some(there) = there {
            return Ok(there.layer(true));
        }
        let below = match new.parent.as_deref() {
            Some(parent) => {
                if inner.containers.read()?.have_layer(parent) {
                    return Err(Error::ParentIsContainer { id: parent.to_owned() });
                }
                let mut lists: Vec<&LayerList> = vec![&writing.list];
                lists.extend(additional.iter().map(|layers| layers.list()));
                chain(&lists, parent)?
            }
            None => Vec::new(),
        };

        let location = inner.layers.location();
        let mut record = record(id, new, &staged.applied);
        record.flags.insert(flags::INCOMPLETE.to_owned(), Value::Bool(true));
        // One that is incomplete and could not be removed: its folder goes with this one.
        writing.list.remove(id);
        writing.list.add(location, Record::new(record));
        writing.save(&[location])?;

        let made = self.make_layer(id, &below, staged, removed).and_then(|()| {
            if let Some(record) = writing.list.entry_mut(id) {
                record.flags.remove(flags::INCOMPLETE);
            }
            writing.save(&[location])
        });
        if let Err(error) = made {
            // What cannot be undone here, the next who looks will undo: it is still incomplete.
            let undone = self.take_layer(id).and_then(|temporaries| {
                removed.extend(temporaries);
                writing.list.remove(id);
                writing.save(&[location])
            });
            if let Err(second) = undone {
                tracing::warn!("deleting layer {id:?}: {second}");
            }
            return Err(error);
        }
        let there = writing.list.layer(id).map(|record| record.layer(false));
        there.ok_or_else(|| Error::LayerUnknown { id: id.to_owned() })
    }

    fn make_layer(
        &self,
        id: &str,
        below: &[String],
        staged: &StagedLayer,
        removed: &mut Vec<Temporary>,
    ) -> Result<()> {
        files::rename(&staged.recipe, &self.recipe(id)?)?;
        let mut before = self.0.layout.temporary_for(id)?;
        self.0.layout.commit(id, below, &staged.root, &mut before)?;
        removed.push(before);
        Ok(())
    }
}

fn record(id: &str, new: &NewLayer, applied: &Applied) -> LayerRecord {
    let length = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let diff = &applied.diff_digest;
    let (compressed, compressed_size): (&Digest, u64) = match &new.compressed {
        Some((digest, size)) => (digest, *size),
        None => (diff, applied.diff_size),
    };
    LayerRecord {
        id: id.to_owned(),
        parent: new.parent.clone().unwrap_or_default(),
        created: now(),
        compressed_diff_digest: compressed.to_string(),
        compressed_size: length(compressed_size),
        diff_digest: diff.to_string(),
        diff_size: length(applied.diff_size),
        compression: new.compression.number(),
        uids: applied.uids.iter().copied().collect(),
        gids: applied.gids.iter().copied().collect(),
        flags: BTreeMap::new(),
        ..LayerRecord::default()
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    Timestamp::from_unix(seconds, since.subsec_nanos()).unwrap_or_default()
}
