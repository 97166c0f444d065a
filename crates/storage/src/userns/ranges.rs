//! Which ids a user may have in a namespace: `/etc/subuid` and `/etc/subgid`.

/// Ids that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) count: u32,
}

/// The ranges that a file of one of these kinds has for a user, in the order of their numbers.
/// Lines that make no sense are passed over, as the programs do that write the maps.
pub(super) fn of_user(text: &str, name: &str, uid: u32) -> Vec<Range> {
    let number = uid.to_string();
    let mut ranges: Vec<Range> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (who, rest) = line.split_once(':')?;
            let (start, count) = rest.split_once(':')?;
            let range = Range { start: start.parse().ok()?, count: count.parse().ok()? };
            let fits = range.start.checked_add(range.count).is_some() && range.count > 0;
            (fits && (who == name || who == number)).then_some(range)
        })
        .collect();
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// Returns whether the text of `/etc/nsswitch.conf` names a source of ranges other than the files.
pub(super) fn is_elsewhere(text: &str) -> bool {
    let mut sources = text.lines().filter_map(|line| {
        let (line, _comment) = line.split_once('#').unwrap_or((line, ""));
        line.trim().strip_prefix("subid:")
    });
    sources.next().is_some_and(|line| line.split_whitespace().any(|source| source != "files"))
}

/// Returns the ranges that `getsubids` answers with, in the order of their numbers: `0: me 100000
/// 65536` for each. Lines that make no sense are passed over.
pub(super) fn of_answer(text: &str) -> Vec<Range> {
    let mut ranges: Vec<Range> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().rev();
            let (count, start) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            let range = Range { start, count };
            (range.start.checked_add(range.count).is_some() && range.count > 0).then_some(range)
        })
        .collect();
    ranges.sort_by_key(|range| range.start);
    ranges
}

/// The login name of a user in the text of `/etc/passwd`.
pub(super) fn login(text: &str, uid: u32) -> Option<&str> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?;
        (number.parse() == Ok(uid)).then_some(name)
    })
}

/// The map that makes a user root, and gives him the ranges behind, as the helpers want it: inside,
/// outside, how many, three words each.
pub(super) fn map(id: u32, ranges: &[Range]) -> Vec<String> {
    let mut words = vec!["0".to_owned(), id.to_string(), "1".to_owned()];
    let mut inside: u32 = 1;
    for Range { start, count } in ranges {
        words.extend([inside.to_string(), start.to_string(), count.to_string()]);
        inside = inside.saturating_add(*count);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_helpers_read() {
        let text = "# comment\n\nother:1:2\nme:200000:65536\n1000:100000:5\nme:x:5\nme:1\nme:7:0\n\
                    me:4294967295:5\n  me:300:1  \n";
        let ranges = of_user(text, "me", 1000);
        let expected = [(300, 1), (100_000, 5), (200_000, 65_536)]
            .map(|(start, count)| Range { start, count });
        assert_eq!(ranges, expected);
        assert_eq!(map(1000, &ranges).join(" "), "0 1000 1 1 300 1 2 100000 5 7 200000 65536");
        assert_eq!(map(7, &[]).join(" "), "0 7 1");
        assert!(of_user(text, "nobody", 1).is_empty());
    }

    #[test]
    fn reads_what_getsubids_says() {
        let text = "0: me 200000 65536\n1: me 100000 5\nno range\n2: me 7 0\n3: me 4294967295 5\n";
        let expected =
            [(100_000, 5), (200_000, 65_536)].map(|(start, count)| Range { start, count });
        assert_eq!(of_answer(text), expected);
        for (text, expected) in [
            ("", false),
            ("passwd: files sss\n", false),
            ("subid: files\n", false),
            ("# subid: sss\n", false),
            ("subid: files # sss\n", false),
            ("passwd: files\n  subid:\tsss\n", true),
            ("subid: files sss\n", true),
        ] {
            assert_eq!(is_elsewhere(text), expected, "{text}");
        }
    }

    #[test]
    fn finds_the_login() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:/bin/sh\n";
        assert_eq!(login(text, 1000), Some("me"));
        assert_eq!(login(text, 1001), None);
    }
}
