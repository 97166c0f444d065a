//! Since when an image must have been made to be wanted.

use std::fmt;
use std::str::FromStr;

use skopeo_image::Timestamp;

use super::{Dropped, Kept};

/// A point in time, or how long ago it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Since {
    text: String,
    point: Point,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Point {
    At(Timestamp),
    /// In seconds.
    Ago(i64),
}

/// Why a text is no [`Since`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a date: use 2026-01-31, 2026-01-31T12:00:00Z, 12h, 30d or 4w")]
pub struct SinceError(String);

impl Since {
    /// Judges an image by when it was made; `now` is in seconds since 1970.
    pub(super) fn evaluate(&self, created: Option<Timestamp>, now: i64) -> Result<Kept, Dropped> {
        let created = created.ok_or(Dropped::UnknownAge)?;
        let at = match self.point {
            Point::At(time) => time.unix(),
            Point::Ago(seconds) => (now.saturating_sub(seconds), 0),
        };
        if created.unix() < at {
            return Err(Dropped::TooOld(created.to_string(), self.to_string()));
        }
        Ok(Kept::since(&created.to_string(), &self.to_string()))
    }
}

impl FromStr for Since {
    type Err = SinceError;

    /// Reads a day (its beginning, in UTC), a time of RFC 3339, or an age in hours, days or weeks.
    fn from_str(text: &str) -> Result<Self, SinceError> {
        let point = age(text).map(Point::Ago).or_else(|| {
            let day = format!("{text}T00:00:00Z");
            text.parse().or_else(|_| day.parse()).ok().map(Point::At)
        });
        match point {
            Some(point) => Ok(Self { text: text.to_owned(), point }),
            None => Err(SinceError(text.to_owned())),
        }
    }
}

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.point {
            Point::At(_) => f.write_str(&self.text),
            Point::Ago(_) => write!(f, "{} ago", self.text),
        }
    }
}

/// Seconds of an age.
fn age(text: &str) -> Option<i64> {
    let units = [('h', 3_600), ('d', 86_400), ('w', 7 * 86_400)];
    let (number, unit) =
        units.into_iter().find_map(|(letter, unit)| Some((text.strip_suffix(letter)?, unit)))?;
    let number: u32 =
        number.bytes().all(|it| it.is_ascii_digit()).then(|| number.parse().ok())??;
    i64::from(number).checked_mul(unit)
}
