//! File systems that no tool makes.

use std::io::{self, Write};

use skopeo_blob::MaxUnpacked;

use super::{Error, write_tar};
use crate::region::Region;

/// An attribute: its name, and its value or where that lies.
enum Attribute {
    Here(Vec<u8>, Vec<u8>),
    /// The value of the first.
    Shared(Vec<u8>),
}

/// A root folder with these attributes, and pipes in it that have them, too.
fn image(attributes: &[Attribute], pipes: u32) -> Vec<u8> {
    let mut image = vec![0; 96];
    let inode = |kind: u16, rest: &[u32]| {
        let mut bytes = Vec::new();
        for number in [kind, 0o755, 0, 0] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [0, u32::from(kind)].iter().chain(rest) {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    };
    // A pipe: links, attributes. Behind it the root: links, length, block, parent, two halves
    // (indexes, place), attributes.
    let pipe = inode(13, &[1, 0]);
    let runs: Vec<u32> = (0..pipes.div_ceil(256)).map(|run| 256.min(pipes - 256 * run)).collect();
    let length: u32 = runs.iter().map(|names| 12 + names * 12).sum();
    let root_at = pipe.len() as u64;
    let inodes = [pipe, inode(8, &[2, length + 3, 0, 0, 0, 0])].concat();
    let inode_table = table(&mut image, &inodes);
    let mut names = Vec::new();
    for (run, count) in runs.iter().enumerate() {
        for number in [count - 1, 0, 1] {
            names.extend(number.to_le_bytes());
        }
        for name in 0..*count {
            for number in [0_u16, 0, 13, 3] {
                names.extend(number.to_le_bytes());
            }
            names.extend(format!("{:04x}", run * 256 + name as usize).bytes());
        }
    }
    let folder_table = table(&mut image, &names);
    let ids = table(&mut image, &[0; 4]);
    let id_table = image.len() as u64;
    image.extend(ids.to_le_bytes());
    let mut pairs = Vec::new();
    for attribute in attributes {
        let (kind, name) = match attribute {
            Attribute::Here(name, _) => (0_u16, name),
            Attribute::Shared(name) => (0x100, name),
        };
        pairs.extend(kind.to_le_bytes());
        pairs.extend((name.len() as u16).to_le_bytes());
        pairs.extend(name);
        match attribute {
            Attribute::Here(_, value) => {
                pairs.extend((value.len() as u32).to_le_bytes());
                pairs.extend(value);
            }
            Attribute::Shared(_) => {
                pairs.extend(8_u32.to_le_bytes());
                // Behind the head and the name of the first, which has one letter.
                pairs.extend(5_u64.to_le_bytes());
            }
        }
    }
    let pairs_table = table(&mut image, &pairs);
    let mut list = 0_u64.to_le_bytes().to_vec();
    list.extend((attributes.len() as u32).to_le_bytes());
    list.extend((pairs.len() as u32).to_le_bytes());
    let list = table(&mut image, &list);
    let attribute_table = image.len() as u64;
    image.extend(pairs_table.to_le_bytes());
    image.extend(1_u32.to_le_bytes());
    image.extend([0; 4]);
    image.extend(list.to_le_bytes());
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"hsqs");
    put(12, &(1_u32 << 17).to_le_bytes());
    for (at, number) in [(20, 1_u16), (22, 17), (26, 1), (28, 4)] {
        put(at, &number.to_le_bytes());
    }
    let none = u64::MAX;
    let places = [
        (32, root_at),
        (48, id_table),
        (56, attribute_table),
        (64, inode_table),
        (72, folder_table),
        (80, none),
    ];
    for (at, number) in places {
        put(at, &number.to_le_bytes());
    }
    image
}

/// Adds a table in blocks that are not packed, and says where it is.
fn table(image: &mut Vec<u8>, bytes: &[u8]) -> u64 {
    let at = image.len() as u64;
    for block in bytes.chunks(8192) {
        image.extend((block.len() as u16 | 0x8000).to_le_bytes());
        image.extend(block);
    }
    at
}

struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long the tar of an image is.
fn tar(image: &[u8], most: MaxUnpacked) -> Result<u64, Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs_err::write(file.path(), image).unwrap();
    let file = fs_err::File::open(file.path()).unwrap();
    let mut output = Count(0);
    write_tar(&Region::new(file, image.len() as u64), None, most, &mut output)?;
    Ok(output.0)
}

fn here(name: usize, value: usize) -> Attribute {
    Attribute::Here(vec![b'n'; name], vec![b'v'; value])
}

#[test]
fn names_and_values_of_attributes_are_counted() {
    let shared = |count| {
        let more = (0..count).map(|_| Attribute::Shared(vec![b's']));
        [here(1, 60_000)].into_iter().chain(more).collect::<Vec<_>>()
    };
    let many = |count, name| (0..count).map(|_| here(name, 1)).collect::<Vec<_>>();
    for (what, attributes, good) in [
        ("none", vec![], true),
        ("usual", vec![here(7, 90), here(255, 65_536)], true),
        ("a name too long", vec![here(256, 1)], false),
        ("a value too long", vec![here(1, 65_537)], false),
        ("values that are shared", shared(3), true),
        ("too many of them", shared(4), false),
        ("names that come to much", many(1000, 250), true),
        ("names that come to more", many(1100, 250), false),
        ("as many as may be", many(4096, 1), true),
        ("too many", many(4097, 1), false),
    ] {
        let result = tar(&image(&attributes, 0), MaxUnpacked::Usual);
        assert_eq!(result.is_ok(), good, "{what}: {result:?}");
    }
}

#[test]
fn what_a_few_blocks_are_named_by_has_an_end() {
    let attributes: Vec<Attribute> = (0..4).map(|_| here(1, 60_000)).collect();
    let image = image(&attributes, 2000);
    assert!(image.len() < 300_000);
    let whole = tar(&image, MaxUnpacked::Usual).unwrap();
    assert!(whole > 2000 * 240_000, "{whole}");
    let Err(Error::TooMuch(_)) = tar(&image, MaxUnpacked::Bytes(10 << 20)) else {
        panic!("it goes on")
    };
    assert_eq!(tar(&image, MaxUnpacked::Unlimited).unwrap(), whole);
}
