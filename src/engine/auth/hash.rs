//! HMAC and PBKDF2 over the two hashes of SCRAM (RFC 2104, RFC 8018 section 5.2).
//!
//! The hash functions are libraries'. HMAC stands here because a key derivation is nothing but
//! HMACs of one key: with both padded keys hashed once, a round costs two compressions instead of
//! the four of an HMAC that begins anew.

/// A hash function in the middle of its input.
pub(super) trait Hash: Copy {
    /// What it gives.
    type Output: AsRef<[u8]> + AsMut<[u8]> + Copy;

    /// Before any input.
    fn start() -> Self;
    /// More input.
    fn add(&mut self, bytes: &[u8]);
    /// The hash of all input.
    fn end(self) -> Self::Output;

    /// The hash of `bytes`.
    fn of(bytes: &[u8]) -> Self::Output {
        let mut hash = Self::start();
        hash.add(bytes);
        hash.end()
    }
}

impl Hash for hmac_sha1_compact::Hash {
    type Output = [u8; 20];

    fn start() -> Self {
        Self::new()
    }

    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }

    fn end(self) -> [u8; 20] {
        self.finalize()
    }
}

impl Hash for hmac_sha256::Hash {
    type Output = [u8; 32];

    fn start() -> Self {
        Self::new()
    }

    fn add(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }

    fn end(self) -> [u8; 32] {
        self.finalize()
    }
}

/// Bytes that both hash functions take at once.
const BLOCK: usize = 64;

/// HMAC with one key, for any number of messages.
#[derive(Clone, Copy)]
pub(super) struct Hmac<H> {
    inner: H,
    outer: H,
}

impl<H: Hash> Hmac<H> {
    /// HMAC with `key`.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            let hashed = H::of(key);
            block[..hashed.as_ref().len()].copy_from_slice(hashed.as_ref());
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let (mut inner, mut outer) = (H::start(), H::start());
        inner.add(&block.map(|byte| byte ^ 0x36));
        outer.add(&block.map(|byte| byte ^ 0x5c));
        Self { inner, outer }
    }

    /// The code of a message.
    pub(super) fn of(self, message: &[u8]) -> H::Output {
        let Self { mut inner, mut outer } = self;
        inner.add(message);
        outer.add(inner.end().as_ref());
        outer.end()
    }
}

/// PBKDF2 of one block, as long as the hash ("Hi" of RFC 5802), in portions.
pub(super) struct Pbkdf2<H: Hash> {
    hmac: Hmac<H>,
    last: H::Output,
    sum: H::Output,
    left: u32,
}

impl<H: Hash> Pbkdf2<H> {
    /// The first of `iterations` rounds.
    pub(super) fn start(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let hmac = Hmac::<H>::new(password);
        let mut message = salt.to_vec();
        message.extend_from_slice(&1_u32.to_be_bytes());
        let first = hmac.of(&message);
        Self { hmac, last: first, sum: first, left: iterations.saturating_sub(1) }
    }

    /// At most so many rounds more; the key once there are none left.
    pub(super) fn advance(&mut self, rounds: u32) -> Option<H::Output> {
        let now = rounds.min(self.left);
        for _ in 0..now {
            self.last = self.hmac.of(self.last.as_ref());
            let pairs = self.sum.as_mut().iter_mut().zip(self.last.as_ref());
            pairs.for_each(|(sum, byte)| *sum ^= byte);
        }
        self.left -= now;
        (self.left == 0).then_some(self.sum)
    }
}

/// Whether two codes are the same, in a time that does not tell where they differ.
pub(super) fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    type Sha1 = hmac_sha1_compact::Hash;
    type Sha256 = hmac_sha256::Hash;

    fn hex(bytes: impl AsRef<[u8]>) -> String {
        bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 2202 section 3 and RFC 4231 section 4.
    #[test]
    fn hmac_agrees_with_the_rfcs() {
        let sha1 = |key: &[u8], data: &[u8]| hex(Hmac::<Sha1>::new(key).of(data));
        let sha256 = |key: &[u8], data: &[u8]| hex(Hmac::<Sha256>::new(key).of(data));
        assert_eq!(sha1(&[0x0b; 20], b"Hi There"), "b617318655057264e28bc0b6fb378c8ef146be00");
        let (key, data) = (&b"Jefe"[..], &b"what do ya want for nothing?"[..]);
        assert_eq!(sha1(key, data), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            sha256(key, data),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // Keys that are longer than a block.
        let data = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(sha1(&[0xaa; 80], data), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
        assert_eq!(
            sha256(&[0xaa; 131], data),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    /// RFC 6070, and the same of RFC 7914 section 11 for SHA-256 (its first 32 bytes).
    #[test]
    fn pbkdf2_agrees_with_the_rfcs() {
        fn whole<H: Hash>(password: &[u8], salt: &[u8], iterations: u32) -> String {
            let mut work = Pbkdf2::<H>::start(password, salt, iterations);
            hex(work.advance(u32::MAX).expect("all rounds"))
        }
        let sha1 = whole::<Sha1>;
        assert_eq!(sha1(b"password", b"salt", 1), "0c60c80f961f0e71f3a9b524af6012062fe037a6");
        assert_eq!(sha1(b"password", b"salt", 2), "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
        assert_eq!(sha1(b"password", b"salt", 4096), "4b007901b765489abead49d926f721d065a429c1");
        assert_eq!(
            whole::<Sha256>(b"passwd", b"salt", 1),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        );
        assert_eq!(
            whole::<Sha256>(b"Password", b"NaCl", 80_000),
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
        );
    }

    #[test]
    fn portions_make_no_difference() {
        let mut work = Pbkdf2::<Sha256>::start(b"Password", b"NaCl", 80_000);
        let mut portions = 1;
        let key = loop {
            match work.advance(1_000) {
                Some(key) => break key,
                None => portions += 1,
            }
        };
        assert_eq!(portions, 80);
        assert!(hex(key).starts_with("4ddcd8f6"));
    }

    #[test]
    fn codes_differ_in_any_byte_or_in_length() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"xbc", b"abc"));
        assert!(!same(b"ab", b"abc") && !same(b"", b"a"));
    }
}
