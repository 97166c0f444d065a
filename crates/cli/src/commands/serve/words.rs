//! What is said when serving begins.

use skopeo_server::{Contents, NotServed};

/// How many of a kind are named, before the others are counted.
const NAMED: usize = 10;

/// `Serving 12 repositories, 140 tags; 3 references cannot be served: ...`
pub(super) fn contents(contents: &Contents) -> String {
    let Contents { repositories, tags, references, .. } = contents;
    let repositories = counted(*repositories, "repository", "repositories");
    let tags = counted(*tags, "tag", "tags");
    let mut text = format!("Serving {repositories}, {tags}");
    if !references.is_empty() {
        let count = counted(references.len(), "reference", "references");
        text += &format!("; {count} cannot be served: {}", named(references));
    }
    text
}

/// The first of them, each with its reason.
pub(super) fn named(all: &[NotServed]) -> String {
    let mut names: Vec<_> =
        all.iter().take(NAMED).map(|it| format!("{} ({})", shown(&it.name), it.why)).collect();
    if all.len() > NAMED {
        names.push(format!("and {} more", all.len().saturating_sub(NAMED)));
    }
    names.join(", ")
}

/// Whoever wrote the folder must not command the terminal.
fn shown(name: &str) -> String {
    if name.is_empty() { ".".into() } else { name.escape_debug().to_string() }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_served_and_what_is_not() {
        let refused = |name: &str| NotServed { name: name.into(), why: "it has no tag".into() };
        let mut found = Contents { repositories: 1, tags: 2, ..Contents::default() };
        assert_eq!(contents(&found), "Serving 1 repository, 2 tags");
        found.references = vec![refused("a/b\u{1b}")];
        let said = r"Serving 1 repository, 2 tags; 1 reference cannot be served: a/b\u{1b} (it has no tag)";
        assert_eq!(contents(&found), said);
        found.references = (0..12).map(|n| refused(&n.to_string())).collect();
        assert!(contents(&found).ends_with("9 (it has no tag), and 2 more"));
    }
}
