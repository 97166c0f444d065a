use std::io;

use super::*;

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = self.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let size = rest.len().min(buffer.len());
        buffer[..size].copy_from_slice(&rest[..size]);
        Ok(size)
    }
}

/// A member: type, name, link, bytes.
type Row<'a> = (u8, &'a str, &'a str, &'a [u8]);

fn header(kind: u8, name: &[u8], link: &[u8], size: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..name.len()].copy_from_slice(name);
    block[124..124 + size.len()].copy_from_slice(size);
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    // Only GNU has the sparse files that have a letter of their own.
    let magic = if kind == b'S' { b"ustar  \0" } else { b"ustar\x0000" };
    block[257..265].copy_from_slice(magic);
    seal(&mut block);
    block
}

fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().copied().map(u32::from).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn fill(tar: &mut Vec<u8>, bytes: &[u8]) {
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(BLOCK), 0);
}

fn tar(rows: &[Row<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (kind, name, link, bytes) in rows {
        let size = format!("{:011o}", bytes.len());
        tar.extend(header(*kind, name.as_bytes(), link.as_bytes(), size.as_bytes()));
        fill(&mut tar, bytes);
    }
    tar.extend([0; 2 * BLOCK]);
    tar
}

fn scan(tar: &Vec<u8>) -> Result<Index, Fault> {
    Index::scan(tar, tar.len() as u64)
}

/// What a name leads to: the bytes, `-`, or the error.
fn look(tar: &[u8], index: &Index, name: &str) -> String {
    match index.find(name) {
        Ok(Some(Member { offset, size })) => {
            let offset = usize::try_from(offset).unwrap();
            let bytes = &tar[offset..offset + usize::try_from(size).unwrap()];
            String::from_utf8_lossy(bytes).into_owned()
        }
        Ok(None) => "-".to_owned(),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn finds_members_whatever_their_names_look_like() {
    let big = "x".repeat(20_000);
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let record = format!("{} path={long}-pax\n", long.len() + 14);
    let tar = tar(&[
        (b'g', "", "", b"16 path=ignored\n"),
        (b'0', "./index.json", "", b"index"),
        (b'0', "/abs/olute", "", b"absolute"),
        (b'0', "a//b/./c/../d", "", b"dotted"),
        (b'5', "folder/", "", b""),
        (b'0', "folder2/", "", b""), // as programs before ustar wrote folders
        (b'\0', "old", "", b"old"),
        (b'7', "contiguous", "", b"contiguous"),
        (b'0', "big", "", big.as_bytes()),
        (b'0', "empty", "", b""),
        (b'L', "././@LongLink", "", format!("{long}\0").as_bytes()),
        (b'0', "cut", "", b"gnu"),
        (b'x', "PaxHeaders/x", "", record.as_bytes()),
        (b'0', "cut", "", b"pax"),
        (b'0', "twice", "", b"first"),
        (b'0', "twice", "", b"last"),
        (b'3', "device", "", b""),
        (b'V', "volume", "", b""),
        (b'0', "../out", "", b"out"),
    ]);
    let index = scan(&tar).unwrap();
    for (name, bytes) in [
        ("index.json", "index"),
        ("abs/olute", "absolute"),
        ("a/b/d", "dotted"),
        ("old", "old"),
        ("contiguous", "contiguous"),
        ("big", &*big),
        ("empty", ""),
        (&*long, "gnu"),
        (&*format!("{long}-pax"), "pax"),
        ("twice", "last"),
        ("ignored", "-"),
        ("folder", "-"),
        ("folder2", "-"),
        ("device", "-"),
        ("cut", "-"),
        ("", "-"),
        ("\u{10ffff}", "-"),
    ] {
        assert_eq!(look(&tar, &index, name), bytes, "{name}");
    }
    assert_eq!(index.leading_out(), Some("../out"));
    assert_eq!(index.members().filter(|(name, _)| *name == "twice").count(), 2);
    assert_eq!(index.members().count(), 12);
}

#[test]
fn follows_links_inside() {
    let chain: Vec<(String, String)> =
        (0..12).map(|i| (format!("l{i}"), format!("l{}", i + 1))).collect();
    let mut rows: Vec<Row<'_>> = vec![
        (b'0', "a/file", "", b"content"),
        (b'2', "b/up", "../a/file", b""),
        (b'2', "same", "a/./file", b""),
        (b'2', "b/two", "up", b""),
        (b'1', "b/hard", "a/file", b""),
        (b'1', "b/hard2", "./a/file", b""),
        (b'2', "dangling", "nothing", b""),
        (b'2', "circle", "circle", b""),
        (b'2', "out", "../etc/passwd", b""),
        (b'2', "absolute", "/etc/passwd", b""),
        (b'1', "hard-out", "../x", b""),
        (b'2', "nothing-at-all", "", b""),
        (b'0', "l12", "", b"far"),
        (b'S', "sparse", "", b"pieces"),
        (b'x', "", "", b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n25 GNU.sparse.name=holes\n"),
        (b'0', "GNUSparseFile.0/holes", "", b"pieces"),
        (b'0', "behind", "", b"behind"),
    ];
    rows.extend(chain.iter().map(|(from, to)| (b'2', from.as_str(), to.as_str(), &b""[..])));
    let tar = tar(&rows);
    let index = scan(&tar).unwrap();
    for (name, found) in [
        ("b/up", "content"),
        ("same", "content"),
        ("b/two", "content"),
        ("b/hard", "content"),
        ("b/hard2", "content"),
        ("dangling", "-"),
        ("circle", "too many links start at member \"circle\""),
        ("out", "member \"out\" is a link to \"../etc/passwd\", outside of the archive"),
        ("absolute", "member \"absolute\" is a link to \"/etc/passwd\", outside of the archive"),
        ("hard-out", "member \"hard-out\" is a link to \"../x\", outside of the archive"),
        ("nothing-at-all", "-"),
        ("l4", "far"),
        ("l3", "too many links start at member \"l3\""),
        ("sparse", "member \"sparse\" is stored as a sparse file, which is not supported"),
        ("holes", "member \"holes\" is stored as a sparse file, which is not supported"),
        ("behind", "behind"),
    ] {
        assert_eq!(look(&tar, &index, name), found, "{name}");
    }
}

#[test]
fn old_sparse_maps_are_skipped() {
    let mut block = header(b'S', b"sparse", b"", b"00000000005");
    block[257..265].copy_from_slice(b"ustar  \0");
    block[482] = 1;
    seal(&mut block);
    let mut bytes = block.to_vec();
    let mut map = [b'0'; BLOCK]; // would be no header
    bytes.extend(map);
    map[504] = 0;
    bytes.extend(map);
    fill(&mut bytes, b"piece");
    bytes.extend(tar(&[(b'0', "next", "", b"next")]));
    let index = scan(&bytes).unwrap();
    assert_eq!(look(&bytes, &index, "next"), "next");
}

#[test]
fn sizes_beyond_the_octal_field() {
    let mut bytes = header(b'0', b"binary", b"", b"\x80\0\0\0\0\0\0\0\0\0\0\x05").to_vec();
    fill(&mut bytes, b"12345");
    // What pax says counts, not the field.
    bytes.extend(&tar(&[(b'x', "", "", b"9 size=6\n")])[..2 * BLOCK]);
    bytes.extend(header(b'0', b"pax", b"", b"00000000000"));
    fill(&mut bytes, b"123456");
    bytes.extend(tar(&[(b'0', "next", "", b"next")]));
    let index = scan(&bytes).unwrap();
    assert_eq!(look(&bytes, &index, "binary"), "12345");
    assert_eq!(look(&bytes, &index, "pax"), "123456");
    assert_eq!(look(&bytes, &index, "next"), "next");
}

#[test]
fn numbers_and_records_must_be_right_as_in_go() {
    let is_refused = |bytes: &Vec<u8>| scan(bytes).is_err();
    for field in [100..108, 108..116, 116..124, 136..148, 329..337, 337..345] {
        let mut block = header(b'0', b"name", b"", b"0");
        block[field.start] = b'x';
        seal(&mut block);
        assert!(is_refused(&block.to_vec()), "{field:?}");
    }
    for (kind, records) in [
        (b'x', &b"10 size=-1\n"[..]),
        (b'x', b"9 mtime=\n5 a\n"),
        (b'g', b"99 path=a/b\n"),
        (b'x', b"22 GNU.sparse.major=0\n22 GNU.sparse.minor=1\n20 GNU.sparse.map=1\n"),
    ] {
        let bytes = tar(&[(kind, "", "", records), (b'0', "name", "", b"abc")]);
        assert!(is_refused(&bytes), "{}", String::from_utf8_lossy(records));
    }
    // The last extended header counts, and no other.
    let both = [(b'x', "", "", &b"10 path=a\n"[..]), (b'x', "", "", b"9 size=3\n")];
    let bytes = tar(&[both[0], both[1], (b'0', "name", "", b"abc")]);
    assert_eq!(look(&bytes, &scan(&bytes).unwrap(), "name"), "abc");
}

#[test]
fn prefixes_belong_to_names() {
    let mut block = header(b'0', b"name", b"", b"0");
    block[345..351].copy_from_slice(b"pre/fi");
    seal(&mut block);
    let index = scan(&block.to_vec()).unwrap();
    assert!(index.find("pre/fi/name").unwrap().is_some());
    block[257..265].copy_from_slice(b"ustar  \0");
    seal(&mut block);
    // Go has written names there once, too; else GNU has times there.
    assert!(scan(&block.to_vec()).unwrap().find("pre/fi/name").unwrap().is_some());
    block[345..357].copy_from_slice(b"00000000001\0");
    seal(&mut block);
    assert!(scan(&block.to_vec()).unwrap().find("name").unwrap().is_some());
}

#[test]
fn ends_where_it_ends() {
    let whole = tar(&[(b'0', "a", "", b"12345"), (b'0', "b", "", b"67890")]);
    // The mark of the end, the last filling, may be missing or cut.
    for cut in [0, BLOCK, 2 * BLOCK, 2 * BLOCK + 507] {
        let tar = whole[..whole.len() - cut].to_vec();
        assert_eq!(look(&tar, &scan(&tar).unwrap(), "b"), "67890", "{cut}");
    }
    // What is behind the mark does not count.
    let mut more = whole;
    more.extend([b'x'; 700]);
    assert_eq!(look(&more, &scan(&more).unwrap(), "b"), "67890");
    assert_eq!(scan(&Vec::new()).unwrap().members().count(), 0);
}

#[test]
fn names_what_is_wrong() {
    let whole = tar(&[(b'0', "a", "", b"12345"), (b'0', "b", "", b"67890")]);
    let cut = |length: usize| whole[..length].to_vec();
    let broken = |at: usize| {
        let mut tar = whole.clone();
        tar[at] ^= 0x55;
        tar
    };
    let one_zero = [&whole[..2 * BLOCK], &[0; BLOCK], &whole[2 * BLOCK..]].concat();
    let huge = header(b'0', b"huge", b"", b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff").to_vec();
    let extension = |size: &[u8]| header(b'x', b"", b"", size).to_vec();
    let long = [b'n'; 5000];
    for (bytes, sentence) in [
        (b"nonsense".to_vec(), "the archive is truncated at byte 8, after member \"\""),
        (vec![b'x'; 600], "not a tar archive"),
        (broken(3), "not a tar archive"),
        (broken(2 * BLOCK + 3), "no tar header at byte 1024, after member \"a\""),
        (one_zero, "no tar header at byte 1536, after member \"a\""),
        (cut(2 * BLOCK + 100), "the archive is truncated at byte 1124, after member \"a\""),
        (cut(BLOCK + 2), "member \"a\" is truncated: it should have 5 bytes, but has 2"),
        (cut(BLOCK), "member \"a\" is truncated: it should have 5 bytes, but has 0"),
        (huge, "member \"huge\" is truncated: it should have 9223372036854775807 bytes, but has 0"),
        (extension(b"00004000001"), "the extended header at byte 0 is too long"),
        (extension(b"00004000000"), "the extended header at byte 0 is truncated"),
        (tar(&[(b'x', "", "", b"8 path=a\n")]), "the extended header at byte 0 is malformed"),
        (
            tar(&[(b'L', "", "", &long), (b'0', "x", "", b"")]),
            "the name of the member at byte 5632 has 5000 bytes",
        ),
    ] {
        let fault = scan(&bytes).unwrap_err();
        assert_eq!(fault.to_string(), sentence);
    }
}

#[test]
fn more_than_is_worth_the_memory_is_refused() {
    assert!(MAX_MEMBERS >= 1_000_000 && MAX_MEMBERS * size_of::<Slot>() + MAX_NAMES <= 96 << 20);
    let tar = tar(&[(b'0', "one", "", b""), (b'2', "two", "link", b""), (b'5', "dir/", "", b"")]);
    for (members, names, sentence) in [
        (2, 10, ""),
        (1, 10, "the archive has more than 1 members"),
        (2, 9, "the archive has more than 9 bytes of names"),
    ] {
        let scanned = Index::scan_within(&tar, tar.len() as u64, Limits { members, names });
        let said = scanned.err().map(|fault| fault.to_string()).unwrap_or_default();
        assert_eq!(said, sentence);
    }
}

/// What fuzzing does at length: archives with some bytes changed, in headers whose checksums are
/// right again, or cut.
#[test]
fn nothing_breaks_it() {
    let whole = tar(&[
        (b'0', "a/file", "", b"content"),
        (b'2', "a/link", "../a/./file", b""),
        (b'1', "hard", "a/link", b""),
        (b'x', "", "", b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n14 path=x/y/z\n9 size=3\n"),
        (b'0', "long", "", b"abc"),
        (b'L', "", "", b"some/name\0"),
        (b'K', "", "", b"a/file\0"),
        (b'2', "short", "", b""),
        (b'S', "sparse", "", b"pieces"),
        (b'5', "folder/", "", b""),
    ]);
    let mut state = 20_261_121_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for _ in 0..2000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(4) {
            let at = random(bytes.len());
            bytes[at] = [0, b'/', b'.', b'7', 0x80, 0xff, b'L', b'x'][random(8)];
            let header = at / BLOCK * BLOCK;
            if let Some(block) = bytes[header..].first_chunk_mut::<BLOCK>() {
                seal(block);
            }
        }
        if random(4) == 0 {
            bytes.truncate(random(bytes.len()));
        }
        let Ok(index) = scan(&bytes) else { continue };
        for (name, member) in index.members() {
            assert!(member.offset + member.size <= bytes.len() as u64, "{name} is beyond the end");
            assert_eq!(clean(name.as_bytes()), name.as_bytes());
        }
        for slot in &index.slots {
            if let Ok(Some(member)) = index.find(slot.name.of(&index.names)) {
                assert!(index.members().any(|(_, found)| found == member));
            }
        }
    }
}

#[test]
fn cleans_names() {
    for (name, expected) in [
        ("a", "a"),
        ("./a/", "a"),
        ("//a//b", "a/b"),
        ("a/../b", "b"),
        ("a/../../b", "../b"),
        ("/../b", "b"),
        ("..", ".."),
        (".", ""),
        ("", ""),
        ("a/..", ""),
    ] {
        assert_eq!(String::from_utf8(clean(name.as_bytes())).unwrap(), expected, "{name}");
    }
}
