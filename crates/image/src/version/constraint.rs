//! `>=1.2 <2 || ~3.4`.

use super::Version;

/// What versions are wanted.
///
/// Alternatives are joined by `||`, what has to hold together by spaces or commas. A part of a
/// version may be missing, or `x`, `X` or `*`. Versions before a release (`1.2.3-rc.1`) are wanted
/// only where one of those that hold together names such a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint(Vec<Alternative>);

/// Why a text is no constraint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("improper constraint: {0:?}")]
pub struct ConstraintError(pub String);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternative {
    bounds: Vec<Bound>,
    prereleases: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    version: Version,
    given: Given,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Like,
    Not,
    Above,
    Below,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

/// How much of the version was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    Major,
    Minor,
    All,
}

/// Longer ones first.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::Not),
    (">=", Operator::AtLeast),
    ("=>", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("=<", Operator::AtMost),
    ("~>", Operator::Tilde),
    ("=", Operator::Like),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

impl Constraint {
    /// Parses a constraint.
    ///
    /// # Errors
    /// If it is none; the text is the alternative that is wrong.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        let parse = |text| Alternative::parse(text).ok_or_else(|| ConstraintError(text.to_owned()));
        text.split("||").map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether this version is wanted.
    #[must_use]
    pub fn allows(&self, version: &Version) -> bool {
        self.0.iter().any(|alternative| {
            (version.pre.is_empty() || alternative.prereleases)
                && alternative.bounds.iter().all(|bound| bound.allows(version))
        })
    }
}

impl Alternative {
    fn parse(text: &str) -> Option<Self> {
        let mut bounds: Vec<Bound> = Vec::new();
        let mut rest = text.trim_matches(is_space);
        // Ranges are taken out with the spaces around them, in the original: what stands before one
        // needs a comma, what stands behind it needs nothing.
        let mut may_be_range = true;
        loop {
            let (operator, after) = operator(rest);
            let (mut bound, after) = Bound::parse(operator.unwrap_or(Operator::Like), after)?;
            rest = after;
            let upper = upper_end(rest);
            if let Some(upper) = upper {
                // `1.2 - 3.4`: both ends belong to it.
                if operator.is_some() || !may_be_range {
                    return None;
                }
                bound.operator = Operator::AtLeast;
                let (upper, after) = Bound::parse(Operator::AtMost, upper)?;
                bounds.extend([bound, upper]);
                rest = after;
            } else {
                bounds.push(bound);
            }
            if rest.is_empty() {
                let prereleases = bounds.iter().any(|bound| !bound.version.pre.is_empty());
                return Some(Self { bounds, prereleases });
            }
            let next = rest.trim_start_matches(is_space);
            let separated = next.len() < rest.len() || upper.is_some();
            let comma = next.strip_prefix(',');
            if comma.is_none() && !separated {
                return None;
            }
            may_be_range = comma.is_some() || upper.is_some();
            rest = comma.map_or(next, |next| next.trim_start_matches(is_space));
        }
    }
}

impl Bound {
    /// Takes a version from the beginning of the text, and gives back what is left.
    fn parse(operator: Operator, text: &str) -> Option<(Self, &str)> {
        let end = text.find(|c| is_space(c) || ",=!<>~^".contains(c)).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        let word = word.strip_prefix('v').unwrap_or(word);
        let numbers_end = word.find(['-', '+']).unwrap_or(word.len());
        let (numbers, extra) = word.split_at(numbers_end);
        let parts: Vec<&str> = numbers.split('.').collect();
        if parts.len() > 3 || parts.iter().any(|part| !is_part(part)) {
            return None;
        }
        let given = parts.iter().take_while(|part| !is_any(part)).count();
        let kept = parts.get(..given).unwrap_or_default().join(".");
        // Where parts are missing, what stands behind a plus is passed over with them.
        let pre = extra.split('+').next().unwrap_or_default();
        let (given, text) = match given {
            0 => (Given::Nothing, format!("0{pre}")),
            1 => (Given::Major, format!("{kept}{pre}")),
            2 => (Given::Minor, format!("{kept}{pre}")),
            _ => (Given::All, format!("{kept}{extra}")),
        };
        let version = Version::parse(&text)?;
        Version::parse(&format!("0{extra}"))?;
        Some((Self { operator, version, given }, rest))
    }

    fn allows(&self, version: &Version) -> bool {
        let Self { operator, version: bound, given } = self;
        let (same_major, same_minor) = (version.major == bound.major, version.minor == bound.minor);
        match (operator, given) {
            (Operator::Like, Given::All) => version.cmp(bound).is_eq(),
            (Operator::Not, Given::Major) => !same_major,
            (Operator::Not, Given::Minor) => {
                let is_pre = !version.pre.is_empty() || !bound.pre.is_empty();
                !same_major || !same_minor || is_pre && version.pre != bound.pre
            }
            (Operator::Not, _) => !version.cmp(bound).is_eq(),
            (Operator::Above, Given::Major) => version.major > bound.major,
            (Operator::Above, Given::Minor) => {
                (version.major, version.minor) > (bound.major, bound.minor)
            }
            (Operator::Above, _) => version > bound,
            (Operator::Below, _) => version < bound,
            (Operator::AtLeast, _) => version >= bound,
            (Operator::AtMost, Given::All) => version <= bound,
            (Operator::AtMost, Given::Major) => version.major <= bound.major,
            (Operator::AtMost, _) => (version.major, version.minor) <= (bound.major, bound.minor),
            (Operator::Like | Operator::Tilde, _) => {
                let all =
                    bound.numbers() == (0, 0, 0) && matches!(given, Given::Nothing | Given::All);
                let near = same_major && (same_minor || *given == Given::Major);
                version >= bound && (all || near)
            }
            (Operator::Caret, _) => version >= bound && self.is_compatible(version),
        }
    }

    /// The first number that is not zero stays the same.
    fn is_compatible(&self, version: &Version) -> bool {
        let bound = &self.version;
        if bound.major > 0 || self.given == Given::Major {
            return version.major == bound.major;
        }
        if bound.minor > 0 || self.given == Given::Minor {
            return version.major == 0 && version.minor == bound.minor;
        }
        version.numbers() == (0, 0, bound.patch)
    }
}

/// The operator at the beginning, if there is one, and what stands behind it and its spaces.
fn operator(text: &str) -> (Option<Operator>, &str) {
    let found = OPERATORS.iter().find_map(|(sign, it)| Some((*it, text.strip_prefix(sign)?)));
    match found {
        Some((operator, rest)) => (Some(operator), rest.trim_start_matches(is_space)),
        None => (None, text),
    }
}

/// What stands behind ` - `.
fn upper_end(text: &str) -> Option<&str> {
    let behind = text.trim_start_matches(is_space).strip_prefix('-')?;
    let upper = behind.trim_start_matches(is_space);
    (text.starts_with(is_space) && upper.len() < behind.len()).then_some(upper)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

fn is_any(part: &str) -> bool {
    matches!(part, "x" | "X" | "*")
}

fn is_part(part: &str) -> bool {
    is_any(part) || !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_masterminds() {
        let mut lines = include_str!("masterminds.txt").lines().skip(1);
        let versions: Vec<&str> =
            lines.next().unwrap().trim_start_matches("# ").split(' ').collect();
        let mut pairs = 0;
        for line in lines {
            let (text, verdicts) = line.rsplit_once('|').unwrap();
            let constraint = Constraint::parse(text).unwrap();
            assert_eq!(verdicts.len(), versions.len());
            for (version, verdict) in versions.iter().zip(verdicts.chars()) {
                let allowed = constraint.allows(&Version::parse(version).unwrap());
                assert_eq!(allowed, verdict == '+', "{text} {version}");
                pairs += 1;
            }
        }
        assert!(pairs > 4000, "{pairs}");
    }

    #[test]
    fn refuses_what_is_no_constraint() {
        for (text, wrong) in [
            ("", ""),
            (" ", " "),
            ("foo", "foo"),
            (">= bar", ">= bar"),
            ("BAR >= 1.2.3", "BAR >= 1.2.3"),
            ("1 ||", ""),
            ("1 || x.y", " x.y"),
            ("1|2", "1|2"),
            ("1.2.3.4", "1.2.3.4"),
            ("12.3.34~ 1.2.3", "12.3.34~ 1.2.3"),
            (">1<2", ">1<2"),
            ("1,,2", "1,,2"),
            ("1,", "1,"),
            (">1 - 2", ">1 - 2"),
            ("1 - 2 - 3", "1 - 2 - 3"),
            ("1 -2", "1 -2"),
            ("1x", "1x"),
            ("v1.2.3-beta.01", "v1.2.3-beta.01"),
            (">> 1", ">> 1"),
            ("1\u{a0}2", "1\u{a0}2"),
        ] {
            assert_eq!(Constraint::parse(text), Err(ConstraintError(wrong.to_owned())), "{text}");
        }
    }
}
