//! Inputs from seeds: one or two of them, changed in some places. The same number gives the same
//! input on every machine.

use fastrand::Rng;

/// No input is longer, in bytes.
const LONGEST: usize = 64 * 1024;

/// Numbers at which programs break.
const NUMBERS: [u64; 14] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    1 << 32,
    1 << 45,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Makes the inputs of a target.
#[derive(Debug)]
pub struct Mutator<'a> {
    seeds: &'a [Vec<u8>],
    words: &'a [&'a str],
    start: u64,
}

impl<'a> Mutator<'a> {
    /// `start` is another row of inputs.
    #[must_use]
    pub fn new(seeds: &'a [Vec<u8>], words: &'a [&'a str], start: u64) -> Self {
        Self { seeds, words, start }
    }

    /// The input of that number; the first are the seeds themselves.
    #[must_use]
    pub fn input(&self, number: u64) -> Vec<u8> {
        let seed = usize::try_from(number).ok().and_then(|number| self.seeds.get(number));
        if let Some(seed) = seed {
            return seed.clone();
        }
        let mut rng = Rng::with_seed(self.start ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut input = self.any(&mut rng).to_vec();
        if rng.u8(..) < 24 {
            let other = self.any(&mut rng);
            let (at, from) = (rng.usize(..=input.len()), rng.usize(..=other.len()));
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        for _ in 0..1_u32 << rng.u32(0..5) {
            self.change(&mut input, &mut rng);
        }
        input.truncate(LONGEST);
        input
    }

    fn any(&self, rng: &mut Rng) -> &'a [u8] {
        rng.choice(self.seeds).map_or(&[], Vec::as_slice)
    }

    fn change(&self, input: &mut Vec<u8>, rng: &mut Rng) {
        let at = rng.usize(..=input.len());
        match rng.u32(0..12) {
            0 => flip(input, at, 1 << rng.u32(0..8)),
            1 => flip(input, at, rng.u8(1..)),
            2 => overwrite(input, at, &number(rng)),
            3 => decimal(input, at, rng),
            4 => {
                let word = rng.choice(self.words).copied().unwrap_or("\0");
                overwrite(input, at, word.as_bytes());
            }
            5 => {
                let word = rng.choice(self.words).copied().unwrap_or("\u{ff}");
                insert(input, at, word.as_bytes());
            }
            6 => insert(input, at, &[rng.u8(..)].repeat(1 << rng.u32(0..9))),
            7 => {
                let len = length(input, at, rng);
                input.drain(at..at + len);
            }
            8 => {
                let copied = input[at..at + length(input, at, rng)].to_vec();
                let to = rng.usize(..=input.len());
                insert(input, to, &copied);
            }
            9 => {
                let copied = input[at..at + length(input, at, rng)].to_vec();
                let to = rng.usize(..=input.len());
                overwrite(input, to, &copied);
            }
            10 if rng.u8(..) < 64 => input.truncate(at),
            _ => overwrite(input, at, &[rng.u8(..)]),
        }
    }
}

/// How much of what is behind a place is meant: short pieces more often than long ones.
fn length(input: &[u8], at: usize, rng: &mut Rng) -> usize {
    let most = 1 << rng.u32(0..10);
    rng.usize(..=most.min(input.len() - at))
}

fn flip(input: &mut [u8], at: usize, bits: u8) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= bits;
    }
}

fn overwrite(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = (at + bytes.len()).max(input.len()).min(LONGEST);
    input.resize(end, 0);
    for (to, from) in input.iter_mut().skip(at).zip(bytes) {
        *to = *from;
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    input.splice(at..at, bytes.iter().copied());
}

/// A number in as many bytes as it may have, in either order.
fn number(rng: &mut Rng) -> Vec<u8> {
    let number = NUMBERS[rng.usize(..NUMBERS.len())].wrapping_add(rng.u64(0..3)).wrapping_sub(1);
    let bytes = number.to_le_bytes();
    let mut bytes = bytes[..1 << rng.u32(0..4)].to_vec();
    if rng.bool() {
        bytes.reverse();
    }
    bytes
}

/// Another number for the digits behind a place.
fn decimal(input: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let Some(start) = input[at..].iter().position(u8::is_ascii_digit) else { return };
    let start = at + start;
    let len = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = NUMBERS[rng.usize(..NUMBERS.len())].wrapping_sub(rng.u64(0..2));
    let text = if rng.u8(..) < 32 { format!("-{number}") } else { number.to_string() };
    input.splice(start..start + len, text.bytes());
}
