//! The keys that follow from a password, and their cache.
//!
//! Deriving them is meant to be slow: it is done in portions, so that no executor stands still, and
//! once for each salt ("Caching credentials in SCRAM").

use std::collections::VecDeque;
use std::fmt;

use super::hash::{Hash, Hmac, Pbkdf2};

type Sha1 = hmac_sha1_compact::Hash;
type Sha256 = hmac_sha256::Hash;

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    /// SCRAM-SHA-1.
    Sha1,
    /// SCRAM-SHA-256.
    Sha256,
}

impl ScramHash {
    pub(super) fn hash(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::of(bytes).to_vec(),
            Self::Sha256 => Sha256::of(bytes).to_vec(),
        }
    }

    pub(super) fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Hmac::<Sha1>::new(key).of(message).to_vec(),
            Self::Sha256 => Hmac::<Sha256>::new(key).of(message).to_vec(),
        }
    }
}

/// What tells one key of a user from another: the server's salt and count, and the mechanism.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyParameters {
    pub(super) hash: ScramHash,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

/// A key that is to be derived: look for it in the [`KeyCache`], else derive it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRequest {
    pub(super) parameters: KeyParameters,
    pub(super) password: String,
}

impl fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyParameters { hash, iterations, .. } = &self.parameters;
        f.debug_struct("KeyRequest")
            .field("hash", hash)
            .field("iterations", iterations)
            .finish_non_exhaustive()
    }
}

impl KeyRequest {
    /// The keys of a password that is prepared, by the server's salt and count.
    pub fn new(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> Self {
        let parameters = KeyParameters { hash, salt: salt.to_vec(), iterations };
        Self { parameters, password: password.to_owned() }
    }

    /// The hash function.
    pub fn hash(&self) -> ScramHash {
        self.parameters.hash
    }

    /// The password, prepared. Secret.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The server's salt.
    pub fn salt(&self) -> &[u8] {
        &self.parameters.salt
    }

    /// The server's count of rounds.
    pub fn iterations(&self) -> u32 {
        self.parameters.iterations
    }

    /// The keys, if somebody else has derived the salted password (PBKDF2): as many bytes as the
    /// hash has.
    pub fn keys_of(&self, salted: &[u8]) -> Option<ScramKeys> {
        let length = match self.hash() {
            ScramHash::Sha1 => 20,
            ScramHash::Sha256 => 32,
        };
        (salted.len() == length).then(|| ScramKeys::of(self.hash(), salted))
    }

    /// Begins to derive the keys.
    pub fn derive(&self) -> Derivation {
        let KeyParameters { hash, salt, iterations } = &self.parameters;
        let (password, iterations) = (self.password.as_bytes(), *iterations);
        Derivation(match hash {
            ScramHash::Sha1 => Work::Sha1(Pbkdf2::start(password, salt, iterations)),
            ScramHash::Sha256 => Work::Sha256(Pbkdf2::start(password, salt, iterations)),
        })
    }
}

/// A derivation that is under way.
pub struct Derivation(Work);

enum Work {
    Sha1(Pbkdf2<Sha1>),
    Sha256(Pbkdf2<Sha256>),
}

impl fmt::Debug for Derivation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derivation")
    }
}

impl Derivation {
    /// Goes on for one portion, about a millisecond's work; the keys once it is done.
    pub fn advance(&mut self) -> Option<ScramKeys> {
        match &mut self.0 {
            Work::Sha1(work) => {
                work.advance(PORTION).map(|salted| ScramKeys::of(ScramHash::Sha1, &salted))
            }
            Work::Sha256(work) => {
                work.advance(PORTION).map(|salted| ScramKeys::of(ScramHash::Sha256, &salted))
            }
        }
    }
}

/// Rounds of a portion.
const PORTION: u32 = 2_048;

/// What the proofs of both sides need.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    pub(super) client: Vec<u8>,
    pub(super) server: Vec<u8>,
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramKeys")
    }
}

impl ScramKeys {
    /// ClientKey and ServerKey of a salted password.
    pub(super) fn of(hash: ScramHash, salted: &[u8]) -> Self {
        Self { client: hash.hmac(salted, b"Client Key"), server: hash.hmac(salted, b"Server Key") }
    }
}

/// The keys that were derived for one credential.
#[derive(Default)]
pub struct KeyCache {
    known: VecDeque<(KeyParameters, ScramKeys)>,
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyCache").field("known", &self.known.len()).finish()
    }
}

impl KeyCache {
    /// The keys that are wanted, where they were derived before.
    pub fn find(&self, request: &KeyRequest) -> Option<ScramKeys> {
        let known = self.known.iter().find(|(known, _)| *known == request.parameters);
        known.map(|(_, keys)| keys.clone())
    }

    /// Remembers keys. All members of a deployment have the same salt; more than a few come of a
    /// changed password, or of somebody who lies.
    pub fn insert(&mut self, request: KeyRequest, keys: ScramKeys) {
        if self.find(&request).is_none() {
            self.known.truncate(KEPT - 1);
            self.known.push_front((request.parameters, keys));
        }
    }
}

/// Keys that a cache holds at most.
const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 section 3: the salted password of its example, by another implementation.
    #[test]
    fn a_salted_password_of_somebody_else_is_as_good() {
        let salt = b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81";
        let salted = "c4a49510323ab4f952cac1fa99441939e78ea74d6be81ddf7096e87513dc615d";
        let byte = |at: usize| u8::from_str_radix(&salted[2 * at..2 * at + 2], 16).unwrap();
        let salted: Vec<u8> = (0..32).map(byte).collect();
        let request = KeyRequest::new(ScramHash::Sha256, "pencil", salt, 4096);
        let mut work = request.derive();
        let keys = std::iter::repeat_with(|| work.advance()).flatten().next();
        assert_eq!(request.keys_of(&salted), keys);
        assert_eq!(request.keys_of(&salted[1..]), None);
    }

    fn request(hash: ScramHash, salt: &[u8], iterations: u32) -> KeyRequest {
        let parameters = KeyParameters { hash, salt: salt.to_vec(), iterations };
        KeyRequest { parameters, password: "secret".into() }
    }

    fn derive(request: &KeyRequest) -> (ScramKeys, usize) {
        let mut work = request.derive();
        let mut portions = 1;
        loop {
            match work.advance() {
                Some(keys) => return (keys, portions),
                None => portions += 1,
            }
        }
    }

    #[test]
    fn long_work_comes_in_portions() {
        let (short, once) = derive(&request(ScramHash::Sha1, b"salt", 2_000));
        let (long, often) = derive(&request(ScramHash::Sha1, b"salt", 10_000));
        assert_eq!((once, often), (1, 5));
        assert_ne!(short, long);
    }

    #[test]
    fn a_key_is_known_by_salt_count_and_mechanism_and_the_oldest_is_forgotten() {
        let mut cache = KeyCache::default();
        let first = request(ScramHash::Sha256, b"salt", 2_000);
        let (keys, _) = derive(&first);
        assert_eq!(cache.find(&first), None);
        cache.insert(first.clone(), keys.clone());
        cache.insert(first.clone(), keys.clone());
        assert_eq!(cache.known.len(), 1, "known is known");
        assert_eq!(cache.find(&first), Some(keys.clone()));
        for other in [
            request(ScramHash::Sha1, b"salt", 2_000),
            request(ScramHash::Sha256, b"pepper", 2_000),
            request(ScramHash::Sha256, b"salt", 2_001),
        ] {
            assert_eq!(cache.find(&other), None, "{other:?}");
        }
        for count in 0..8 {
            assert!(cache.find(&first).is_some(), "{count} others");
            cache.insert(request(ScramHash::Sha1, b"salt", count), keys.clone());
        }
        assert_eq!((cache.find(&first), cache.known.len()), (None, KEPT));
    }

    #[test]
    fn no_text_shows_a_secret() {
        let request = request(ScramHash::Sha256, b"salt", 2_000);
        let (keys, _) = derive(&request);
        let text = format!("{request:?} {keys:?} {:?}", request.derive());
        assert_eq!(text, "KeyRequest { hash: Sha256, iterations: 2000, .. } ScramKeys Derivation");
    }
}
