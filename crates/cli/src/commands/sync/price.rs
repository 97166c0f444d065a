//! What a dry run finds out: what each image would take.

use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _};
use skopeo_copy::{Book, Change, Price, Session};
use skopeo_transport::Options;
use tracing::{error, info};

use super::goals::Image;
use super::mirror::Doomed;
use super::plan::{Blobs, Plan, Planned, Sum};
use super::work::Work;
use crate::args::report::Output;
use crate::exit::{class, sentence};
use crate::report::Done as Report;
use crate::{go, retry};

/// How many images are priced at once.
const AT_ONCE: usize = 16;

impl Work<'_> {
    /// Prices all images, and tells of them: in a table, or in the document.
    ///
    /// # Errors
    /// The first failure, unless it was asked to go on; those that follow are counted in `done`.
    pub(super) async fn price(
        &self,
        images: &[Image],
        mut plan: Plan,
        flagged: &Options,
        (sources, doomed): (usize, Option<&Doomed>),
        done: &mut super::work::Done,
    ) -> Result<()> {
        let session = Session::new(Arc::new(|_| ()));
        let book = Book::default();
        let prices: Vec<_> =
            images.iter().map(|image| self.one_price(&session, image, &book)).collect();
        let images = images.iter().enumerate();
        let mut prices = stream::iter(prices).buffered(AT_ONCE).zip(stream::iter(images));
        let mut rows = Vec::new();
        while let Some((price, (at, image))) = prices.next().await {
            let price = match price {
                Ok(price) => price,
                Err(failure) => {
                    let what = format!("Error pricing ref {}", go::quote(&image.from.to_string()));
                    self.outcomes.unpriced(at, &failure);
                    if !self.sync.keep_going {
                        return Err(failure.context(what));
                    }
                    error!(error = sentence(&failure), "{what}");
                    done.well -= 1;
                    done.fail(class(&failure));
                    continue;
                }
            };
            say(image, price.as_ref());
            self.outcomes.priced(at, price.as_ref());
            let planned = Planned::new(image, price.as_ref(), flagged);
            plan.sum.add(&planned);
            rows.push(planned);
        }
        info!("Would have synced {} images from {sources} sources", done.well);
        plan.sum.delete = doomed.map_or(0, |doomed| doomed.names().count() as u64);
        match self.report.output() {
            Output::Text => self.report.say(&table(&rows, doomed, &plan.sum))?,
            Output::Json => {
                for planned in rows {
                    self.report.add(Report::Plan(Box::new(planned)));
                }
                self.report.plan(plan);
            }
        }
        Ok(())
    }

    async fn one_price(
        &self,
        session: &Session,
        image: &Image,
        book: &Book,
    ) -> Result<Option<Price>> {
        if image.settled {
            return Ok(None);
        }
        let attempt = async || -> Result<Price> {
            let source = skopeo_transport::open(&image.from, &image.options).await;
            let source = source.with_context(|| format!("initializing source {}", image.from))?;
            let destination = image.collection.look(&image.to).await;
            let destination =
                destination.with_context(|| format!("initializing destination {}", image.to))?;
            let (policy, request) = (self.policy, &image.request);
            let price = skopeo_copy::price(session, &*source, &*destination, policy, request, book);
            Ok(price.await?)
        };
        retry::with(self.retry, attempt).await.map(Some)
    }
}

/// Says what would be done with an image.
fn say(image: &Image, price: Option<&Price>) {
    let (from, to) = (image.from.to_string(), image.to.to_string());
    let Image { at, of, .. } = image;
    match price.map(|price| price.change) {
        Some(Change::New | Change::Changed) => {
            info!(from, to, "Would have copied image ref {at}/{of}");
        }
        Some(Change::Unchanged) => {
            info!(from, to, "Would have skipped image ref {at}/{of}: it is unchanged");
        }
        None => info!(from, to, "Would have skipped image ref {at}/{of}: its tag never moves"),
    }
}

/// A line for each image, and the sum.
fn table(rows: &[Planned], doomed: Option<&Doomed>, sum: &Sum) -> String {
    let mut text = format!(
        "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  IMAGE\n",
        "CHANGE", "FETCH", "SEND", "MOUNT", "REQUESTS"
    );
    for row in rows {
        let about = if row.exact { "" } else { "~" };
        let _ = writeln!(
            text,
            "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  {} -> {}",
            row.outcome,
            size(row.fetch.bytes),
            format!("{about}{}", size(row.send.bytes)),
            size(row.mount.bytes),
            row.requests,
            row.source,
            row.destination
        );
    }
    for name in doomed.into_iter().flat_map(Doomed::names) {
        let _ = writeln!(
            text,
            "{:<9}  {:>10}  {:>10}  {:>10}  {:>8}  {name}",
            "delete", "-", "-", "-", "-"
        );
    }
    let deleted = doomed.map(|_| format!(", {} to delete", sum.delete)).unwrap_or_default();
    let part = |blobs: Blobs| format!("{} ({} blobs)", size(blobs.bytes), blobs.blobs);
    let _ = writeln!(
        text,
        "{} new, {} changed, {} unchanged{deleted}: {} to fetch, {} to send, {} to mount, {} present, {} \
         requests",
        sum.new,
        sum.changed,
        sum.unchanged,
        part(sum.fetch),
        part(sum.send),
        part(sum.mount),
        part(sum.present),
        sum.requests
    );
    text
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut number = bytes as f64 / 1024.0;
    let mut unit = 0;
    while number >= 1023.95 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    format!("{number:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
