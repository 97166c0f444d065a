//! Tars, member by member, as they should be and as they should not.

/// A member before it is bytes.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its type, as the header has it: `b'0'` is a file, `b'5'` a folder.
    pub kind: u8,
    /// Its name.
    pub name: Vec<u8>,
    /// What it links to.
    pub link: Vec<u8>,
    /// Its mode.
    pub mode: u32,
    /// Its user and its group.
    pub owner: (u32, u32),
    /// When it was changed, in seconds since 1970.
    pub seconds: u64,
    /// The numbers of its device.
    pub device: (u32, u32),
    /// Its contents.
    pub contents: Vec<u8>,
    /// The header's field of the size, if that is not how long the contents are.
    pub size: Option<Vec<u8>>,
}

impl Member {
    /// Returns an empty member of a kind, which root owns.
    #[must_use]
    pub fn new(kind: u8, name: &str) -> Self {
        Self {
            kind,
            name: name.into(),
            link: Vec::new(),
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            owner: (0, 0),
            seconds: 1_000_000_000,
            device: (0, 0),
            contents: Vec::new(),
            size: None,
        }
    }

    /// Returns a file.
    #[must_use]
    pub fn file(name: &str, contents: impl Into<Vec<u8>>) -> Self {
        Self { contents: contents.into(), ..Self::new(b'0', name) }
    }

    /// Returns an extended header of these records, for the member behind it.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn extended(records: &[(&str, &[u8])]) -> Self {
        let mut contents = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|length| length.to_string().len() + rest == *length);
            let length = length.expect("there is one");
            contents.extend_from_slice(format!("{length} {key}=").as_bytes());
            contents.extend_from_slice(value);
            contents.push(b'\n');
        }
        Self { contents, ..Self::new(b'x', "pax") }
    }

    /// Returns header, contents and padding. Names that are too long are cut.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut block = [0; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.name[..self.name.len().min(100)]);
        put(100, format!("{:07o}\0", self.mode).as_bytes());
        put(108, format!("{:07o}\0", self.owner.0).as_bytes());
        put(116, format!("{:07o}\0", self.owner.1).as_bytes());
        let size = self.size.clone().unwrap_or_else(|| octal(self.contents.len() as u64));
        put(124, &size);
        put(136, &octal(self.seconds));
        put(156, &[self.kind]);
        put(157, &self.link[..self.link.len().min(100)]);
        put(257, b"ustar\x0000");
        put(329, format!("{:07o}\0", self.device.0).as_bytes());
        put(337, format!("{:07o}\0", self.device.1).as_bytes());
        let mut bytes = summed(block).to_vec();
        bytes.extend_from_slice(&self.contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

/// Returns a number as the header's fields of sizes and times have it.
#[must_use]
pub fn octal(number: u64) -> Vec<u8> {
    format!("{number:011o}\0").into_bytes()
}

/// Returns the header with its checksum.
#[must_use]
pub fn summed(mut block: [u8; 512]) -> [u8; 512] {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// A tar that grows.
#[derive(Clone, Debug, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    /// Returns an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member.
    #[must_use]
    pub fn member(mut self, member: &Member) -> Self {
        self.0.extend(member.bytes());
        self
    }

    /// Adds a member of any kind, whose header says any size, and the bytes that follow it.
    #[must_use]
    pub fn raw(self, kind: u8, name: &str, link: &str, size: &[u8], bytes: &[u8]) -> Self {
        self.member(&Member {
            link: link.into(),
            seconds: 0,
            contents: bytes.into(),
            size: Some(size.into()),
            ..Member::new(kind, name)
        })
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.raw(b'0', name, "", &octal(bytes.len() as u64), bytes)
    }

    /// Adds a link of a kind.
    #[must_use]
    pub fn link(self, kind: u8, name: &str, target: &str) -> Self {
        self.raw(kind, name, target, &octal(0), b"")
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.link(b'2', name, target)
    }

    /// Adds a hard link.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(b'1', name, target)
    }

    /// Adds a folder.
    #[must_use]
    pub fn folder(self, name: &str) -> Self {
        self.link(b'5', name, "")
    }

    /// Returns what there is so far, without an end.
    #[must_use]
    pub fn unended(self) -> Vec<u8> {
        self.0
    }

    /// Returns all of it, with its end.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
