//! The head of a SIF file (Singularity image format, version 01): who made it when, and a table of
//! the objects in it. All numbers are little-endian and nothing is padded.

use skopeo_archive::Region;
use skopeo_image::number::wide;

use super::SifError;

/// The length of the global header, in bytes.
const HEADER: usize = 128;
/// The length of a descriptor, in bytes.
const DESCRIPTOR: usize = 585;
/// The most descriptors that are looked at. Usual are 48 places, most of them free.
const MOST_DESCRIPTORS: u64 = 1 << 16;

const DEFINITION: u32 = 0x4001;
const PARTITION: u32 = 0x4004;
const PRIMARY_SYSTEM: u32 = 2;
const SQUASHFS: u32 = 1;

/// Architectures in Go's words, by their number, from 1.
const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "ppc64", "ppc64le", "mips", "mipsle", "mips64", "mips64le",
    "s390x", "riscv64", "loong64",
];

/// What a SIF file says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// In Go's words.
    pub(crate) architecture: &'static str,
    /// A UUID.
    pub(crate) id: String,
    /// When it was modified, in seconds since 1970.
    pub(crate) modified: i64,
    objects: Objects,
}

/// The objects that matter; the errors are told when somebody asks.
#[derive(Clone, Debug, Default)]
struct Objects {
    none: bool,
    definitions: Vec<Region>,
    systems: Vec<(Region, u32)>,
}

impl Header {
    /// Reads the header and the table.
    pub(crate) fn read(file: &Region) -> Result<Self, SifError> {
        let header: [u8; HEADER] = file.array(0).map_err(SifError::Header)?;
        if &header[32..42] != b"SIF_MAGIC\0" {
            return Err(SifError::Magic);
        }
        if &header[42..45] != b"01\0" {
            return Err(SifError::Version);
        }
        let number = |at: usize| i64::from_le_bytes(part(&header, at));
        let [modified, free, total, offset, size] = [72, 80, 88, 96, 104].map(number);
        let mut objects = read_table(file, total, offset, size)?;
        objects.none = free == total;
        Ok(Self {
            architecture: architecture(&header[45..48]),
            id: uuid(&part(&header, 48)),
            modified,
            objects,
        })
    }

    /// The recipe that the image was made by, if there is exactly one.
    pub(crate) fn definition(&self) -> Option<&Region> {
        match &self.objects.definitions[..] {
            [definition] if !self.objects.none => Some(definition),
            _ => None,
        }
    }

    /// The root file system, a squashfs.
    pub(crate) fn system(&self) -> Result<&Region, SifError> {
        if self.objects.none {
            return Err(SifError::NoObjects);
        }
        match &self.objects.systems[..] {
            [] => Err(SifError::NoSystem),
            [(region, SQUASHFS)] => Ok(region),
            [(_, kind)] => Err(SifError::NotSquashfs(*kind)),
            _ => Err(SifError::ManySystems),
        }
    }
}

fn read_table(file: &Region, total: i64, offset: i64, size: i64) -> Result<Objects, SifError> {
    let unsigned = |number: i64| u64::try_from(number).map_err(|_| SifError::Descriptors);
    let (total, offset, size) = (unsigned(total)?, unsigned(offset)?, unsigned(size)?);
    let length = total.checked_mul(wide(DESCRIPTOR));
    if total > MOST_DESCRIPTORS || length.is_none_or(|length| length > size) {
        return Err(SifError::Descriptors);
    }
    let table = file.part(offset, size).map_err(SifError::Table)?;
    let mut objects = Objects::default();
    for index in 0..total {
        let at = index.saturating_mul(wide(DESCRIPTOR));
        let descriptor: [u8; DESCRIPTOR] = table.array(at).map_err(SifError::Table)?;
        let word = |at: usize| u32::from_le_bytes(part(&descriptor, at));
        let long = |at: usize| u64::from_le_bytes(part(&descriptor, at));
        let is_used = descriptor[4] != 0;
        let (kind, system, role) = (word(0), word(201), word(205));
        let is_system = kind == PARTITION && role == PRIMARY_SYSTEM;
        if !is_used || !(is_system || kind == DEFINITION) {
            continue;
        }
        let object = file.part(long(17), long(25)).map_err(SifError::Object)?;
        if is_system {
            objects.systems.push((object, system));
        } else {
            objects.definitions.push(object);
        }
    }
    Ok(objects)
}

fn architecture(text: &[u8]) -> &'static str {
    let number = match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', 0] => {
            usize::from(tens & 15).saturating_mul(10).saturating_add(usize::from(ones & 15))
        }
        _ => 0,
    };
    let known = number.checked_sub(1).and_then(|index| ARCHITECTURES.get(index));
    known.copied().unwrap_or("unknown")
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The `N` bytes at `at`, which is a constant within the array.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    for (to, from) in part.iter_mut().zip(bytes.iter().skip(at)) {
        *to = *from;
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_architectures_by_number() {
        for (text, expected) in [
            (b"02\0", "amd64"),
            (b"04\0", "arm64"),
            (b"10\0", "mips64le"),
            (b"13\0", "loong64"),
            (b"14\0", "unknown"),
            (b"00\0", "unknown"),
            (b"x2\0", "unknown"),
        ] {
            assert_eq!(architecture(text), expected);
        }
    }

    #[test]
    fn writes_ids_as_others_do() {
        let bytes = std::array::from_fn(|at| u8::try_from(at * 17).unwrap());
        assert_eq!(uuid(&bytes), "00112233-4455-6677-8899-aabbccddeeff");
    }
}
