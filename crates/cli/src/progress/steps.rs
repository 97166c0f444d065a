//! A line for each step on stderr: what is read in the log of a job.

use std::collections::HashMap;
use std::time::Instant;

use indicatif::HumanBytes;
use skopeo_copy::{BlobEvent, Event, ImageEvent};
use skopeo_image::Digest;
use skopeo_transport::How;

use super::Stream;

/// When the blobs under way were begun.
#[derive(Debug, Default)]
pub(super) struct Steps {
    begun: HashMap<Digest, Instant>,
}

impl Steps {
    pub(super) fn observe(&mut self, event: &Event) {
        if let Some(line) = self.line(event) {
            Stream::Stderr.line(&line);
        }
    }

    fn line(&mut self, event: &Event) -> Option<String> {
        Some(match event {
            Event::Blob(BlobEvent::Started { digest, size, .. }) => {
                self.begun.insert(digest.clone(), Instant::now());
                let size = size.map(|size| format!(" ({})", HumanBytes(size))).unwrap_or_default();
                format!("{}{size}", event.line()?)
            }
            Event::Blob(BlobEvent::Resumed { digest, bytes }) => {
                format!("Continuing {digest} after {}", HumanBytes(*bytes))
            }
            Event::Blob(BlobEvent::Reused { digest, how }) => {
                self.begun.remove(digest);
                match how {
                    How::Mounted => format!("Mounted {digest} from another repository"),
                    How::Linked => format!("Linked {digest} from another image"),
                    How::Moved | How::Present => format!("Reused {digest}, which already exists"),
                }
            }
            Event::Blob(BlobEvent::Done { digest, stored, size }) => {
                // Of what was reused, or comes twice, it has been said.
                let begun = self.begun.remove(digest)?;
                let seconds = begun.elapsed().as_secs_f64();
                let became = if stored == digest { String::new() } else { format!(" as {stored}") };
                format!("Copied {digest}{became}: {} in {seconds:.1} s", HumanBytes(*size))
            }
            Event::Image(ImageEvent::Done { digest, .. }) => format!("Wrote {digest}"),
            other => other.line()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use skopeo_copy::BlobKind;

    use super::*;

    #[test]
    fn a_line_for_each_step() {
        let (a, b) = (Digest::sha256(b"a"), Digest::sha256(b"b"));
        let mut steps = Steps::default();
        let start = |digest: &Digest| {
            Event::Blob(BlobEvent::Started {
                digest: digest.clone(),
                size: Some(2048),
                kind: BlobKind::Layer,
            })
        };
        let done = |digest: &Digest, stored: &Digest| {
            Event::Blob(BlobEvent::Done {
                digest: digest.clone(),
                stored: stored.clone(),
                size: 1024,
            })
        };
        let mut line = |event: Event| steps.line(&event).unwrap_or_default();
        assert_eq!(line(start(&a)), format!("Copying blob {a} (2.00 KiB)"));
        assert_eq!(line(Event::Blob(BlobEvent::Read { digest: a.clone(), bytes: 2048 })), "");
        let said = line(done(&a, &b));
        assert!(said.starts_with(&format!("Copied {a} as {b}: 1.00 KiB in ")), "{said}");
        line(start(&b));
        let reused = Event::Blob(BlobEvent::Reused { digest: b.clone(), how: How::Mounted });
        assert_eq!(line(reused), format!("Mounted {b} from another repository"));
        assert_eq!(line(done(&b, &b)), "");
        assert_eq!(
            line(Event::Image(ImageEvent::WritingManifest)),
            "Writing manifest to image destination"
        );
    }
}
