//! Users and the bcrypt hashes of their passwords.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use skopeo_image::Digest;

use super::Credentials;

/// The part of a hash after its cost: of no password that anybody knows.
const NOBODY: &str = "abcdefghijklmnopqrstuuN4vdbCWE2POUI1SH9s7pHfJJZyqdKgK";

/// The costs that are taken: bcrypt's least, and what takes some seconds.
const COSTS: std::ops::RangeInclusive<u32> = 4..=16;

/// How many bytes of a password bcrypt looks at. More would be let in by the first of them alone.
const LONGEST_PASSWORD: usize = 72;

/// The users of one state of a file.
pub(super) struct Users {
    hashes: HashMap<String, Hash>,
    /// The highest cost: a failed login takes as long as one of this, whoever it is for.
    highest: u32,
    /// Makes the digests below worthless to whoever does not have it.
    key: Option<[u8; 32]>,
    /// Digests of the credentials that were right once, one for each user: bcrypt is slow on
    /// purpose, requests are many.
    proven: Mutex<HashMap<String, Digest>>,
}

struct Hash {
    text: String,
    cost: u32,
}

impl Users {
    /// Reads lines `user:hash`; empty ones and those that begin with `#` are skipped. The error is
    /// the number of the first line that is neither, counted from 1.
    pub(super) fn parse(text: &str) -> Result<Self, usize> {
        let mut hashes = HashMap::new();
        for (number, line) in (1_usize..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line.split_once(':').ok_or(number)?;
            let cost = cost(hash).filter(|cost| COSTS.contains(cost));
            let cost = cost.filter(|_| !user.is_empty()).ok_or(number)?;
            hashes.insert(user.to_owned(), Hash { text: hash.to_owned(), cost });
        }
        let highest = hashes.values().map(|hash| hash.cost).max().unwrap_or(*COSTS.start());
        let mut key = [0; 32];
        // Without a key no login is remembered: each takes its time.
        let key = getrandom::fill(&mut key).is_ok().then_some(key);
        Ok(Self { hashes, highest, key, proven: Mutex::default() })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether the other has the same users with the same hashes.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let has = |(user, hash): (&String, &Hash)| {
            other.hashes.get(user).is_some_and(|other| other.text == hash.text)
        };
        self.hashes.len() == other.hashes.len() && self.hashes.iter().all(has)
    }

    /// Whether these can be right: bcrypt would not look at all of a longer password.
    pub(super) fn can_be(credentials: &Credentials) -> bool {
        let password = credentials.password.as_bytes();
        password.len() <= LONGEST_PASSWORD && !password.contains(&0)
    }

    /// Whether these have been right before.
    pub(super) fn are_proven(&self, credentials: &Credentials) -> bool {
        let proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven
            .get(&credentials.user)
            .is_some_and(|known| Some(known) == self.digest(credentials).as_ref())
    }

    /// Whether the password is the user's. Takes as long as bcrypt does: not for the network's
    /// thread.
    pub(super) fn verify(&self, credentials: &Credentials) -> bool {
        let is = |hash: &str| bcrypt::verify(&credentials.password, hash).unwrap_or(false);
        let Some(hash) = self.hashes.get(&credentials.user) else {
            is(&nobody(self.highest));
            return false;
        };
        let right = is(&hash.text);
        if right && let Some(digest) = self.digest(credentials) {
            let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
            proven.insert(credentials.user.clone(), digest);
        }
        if !right {
            // Each step of cost doubles the time: all these together make up what is missing.
            (hash.cost..self.highest).for_each(|cost| _ = is(&nobody(cost)));
        }
        right
    }

    fn digest(&self, credentials: &Credentials) -> Option<Digest> {
        let Credentials { user, password } = credentials;
        let length = user.len().to_be_bytes();
        let parts = [&self.key?[..], &length, user.as_bytes(), password.as_bytes()];
        Some(Digest::sha256(&parts.concat()))
    }
}

/// The cost of a bcrypt hash, if it is one.
fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().find_map(|p| hash.strip_prefix(p))?;
    let (cost, rest) = rest.split_once('$')?;
    let letters = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'/';
    let whole = cost.len() == 2 && rest.len() == NOBODY.len() && rest.bytes().all(letters);
    cost.parse().ok().filter(|_| whole)
}

fn nobody(cost: u32) -> String {
    format!("$2y${cost:02}${NOBODY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(text: &str) -> Credentials {
        let (user, password) = text.split_once(':').unwrap();
        Credentials { user: user.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn only_the_right_password_is_right() {
        let hash = bcrypt::hash("secret:with colon", 4).unwrap();
        let users = Users::parse(&format!("# users\n\nalice:{hash}\n")).unwrap();
        for (text, right) in [
            ("alice:secret:with colon", true),
            ("alice:wrong", false),
            ("alice:", false),
            ("bob:secret:with colon", false),
            (":", false),
        ] {
            let credentials = credentials(text);
            assert!(!users.are_proven(&credentials), "{text}");
            assert_eq!(users.verify(&credentials), right, "{text}");
            assert_eq!(users.are_proven(&credentials), right, "{text}");
        }
        // Where one ends and the other begins counts.
        assert!(!users.are_proven(&credentials("alic:esecret:with colon")));
    }

    #[test]
    fn more_than_bcrypt_looks_at_is_refused() {
        let most = "x".repeat(72);
        for (password, can_be) in [
            (most.clone(), true),
            (most.clone() + "y", false),
            (most + &"y".repeat(1000), false),
            ("ü".repeat(37), false),
            ("secret\0more".into(), false),
            (String::new(), true),
        ] {
            let credentials = Credentials { user: "alice".into(), password: password.clone() };
            assert_eq!(Users::can_be(&credentials), can_be, "{password}");
        }
    }

    #[test]
    fn a_failed_login_takes_as_long_whoever_it_is_for() {
        // What bcrypt does, in rounds: the time is not measured, as others run beside us.
        let rounds = |costs: &[u32]| costs.iter().map(|cost| 1_u64 << cost).sum::<u64>();
        let [low, high] = [4, 7].map(|cost| bcrypt::hash("secret", cost).unwrap());
        let users = Users::parse(&format!("low:{low}\nhigh:{high}")).unwrap();
        assert_eq!(users.highest, 7);
        assert_eq!(cost(&nobody(users.highest)), Some(7));
        let made_up: Vec<u32> = (4..users.highest).collect();
        assert_eq!(rounds(&[4]) + rounds(&made_up), rounds(&[7]));
        for user in ["low", "high", "unknown"] {
            assert!(!users.verify(&credentials(&format!("{user}:wrong"))), "{user}");
        }
        assert!(users.verify(&credentials("low:secret")));
        // The hash of nobody is one, or nothing would take any time.
        assert!(bcrypt::verify("x", &nobody(4)).is_ok());
    }

    #[test]
    fn other_hashes_are_refused_with_their_line() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let too_dear = format!("alice:{}", hash.replace("$04$", "$17$"));
        let not_letters = format!("alice:{}", hash.replace(&hash[30..31], "!"));
        for (text, line) in [
            ("alice:{SHA}x", 1),
            ("\n#\nalice", 3),
            (":$2y$05$", 1),
            ("alice:$apr1$abc$def", 1),
            ("alice:plain", 1),
            (&too_dear, 1),
            (&not_letters, 1),
        ] {
            assert_eq!(Users::parse(text).err(), Some(line), "{text}");
        }
    }
}
