//! SCRAM, the client's side (RFC 5802 and RFC 7677; specification auth, "SCRAM-SHA-1" and
//! "SCRAM-SHA-256"): bytes in, bytes out.
//!
//! Each state owns what the next step needs, and is named by what it awaits:
//! [`AwaitsServerFirst`], [`AwaitsKeys`], [`AwaitsServerFinal`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::AuthError;
use super::hash::same;
use super::keys::{KeyParameters, KeyRequest, ScramHash, ScramKeys};

/// Iterations that a server must ask for at least: "drivers MUST enforce a minimum iteration count
/// of 4096 and MUST error if the authentication conversation specifies a lower count".
pub const MIN_ITERATIONS: u32 = 4_096;

/// Iterations that a server may ask for at most.
///
/// The specification names no limit, and a liar could have a client work for hours. Servers ask for
/// 10,000 (SHA-1) and 15,000 (SHA-256) unless configured otherwise; OWASP's advice of 2023, which
/// an administrator may follow, is 1,300,000 and 600,000. Two million take a second or two of one
/// core.
pub const MAX_ITERATIONS: u32 = 2_000_000;

/// Bytes of a server's message at most; real ones have some hundred.
const MAX_MESSAGE: usize = 4_096;

/// The header of a client without channel binding, as the first message has it.
const GS2_HEADER: &str = "n,,";

/// The first message is sent.
pub(super) struct AwaitsServerFirst {
    hash: ScramHash,
    nonce: String,
    /// "client-first-message-bare".
    bare: String,
}

impl AwaitsServerFirst {
    /// Begins a conversation. "User names MUST NOT be prepared with SASLprep."
    pub(super) fn new(hash: ScramHash, username: &str, nonce: &[u8]) -> Self {
        let nonce = BASE64.encode(nonce);
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let bare = format!("n={name},r={nonce}");
        Self { hash, nonce, bare }
    }

    /// "client-first-message".
    pub(super) fn message(&self) -> Vec<u8> {
        format!("{GS2_HEADER}{}", self.bare).into_bytes()
    }

    /// "server-first-message": salt and count.
    pub(super) fn receive(self, message: &[u8]) -> Result<AwaitsKeys, AuthError> {
        let text = text(message)?;
        let mut attributes = text.split(',');
        let nonce = attribute(attributes.next(), "r")?;
        let salt = attribute(attributes.next(), "s")?;
        let count = attribute(attributes.next(), "i")?;
        // The server's part must not be empty.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(AuthError::WrongNonce);
        }
        let salt =
            BASE64.decode(salt).map_err(|_| AuthError::malformed("the salt is no base64"))?;
        if salt.is_empty() {
            return Err(AuthError::malformed("the salt is empty"));
        }
        let iterations = iterations(count)?;
        let header = BASE64.encode(GS2_HEADER);
        let without_proof = format!("c={header},r={nonce}");
        let auth_message = format!("{},{text},{without_proof}", self.bare);
        let parameters = KeyParameters { hash: self.hash, salt, iterations };
        Ok(AwaitsKeys { parameters, without_proof, auth_message })
    }
}

fn iterations(count: &str) -> Result<u32, AuthError> {
    let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(AuthError::malformed("the iteration count is no number"));
    }
    // What does not fit is too much all the same.
    let found = count.parse::<u64>().unwrap_or(u64::MAX);
    let (least, most) = (MIN_ITERATIONS, MAX_ITERATIONS);
    match u32::try_from(found) {
        Ok(iterations) if (least..=most).contains(&iterations) => Ok(iterations),
        _ => Err(AuthError::IterationCount { found, least, most }),
    }
}

/// The server's salt and count are known, the keys are not.
pub(super) struct AwaitsKeys {
    parameters: KeyParameters,
    /// "client-final-message-without-proof".
    without_proof: String,
    auth_message: String,
}

impl AwaitsKeys {
    pub(super) fn hash(&self) -> ScramHash {
        self.parameters.hash
    }

    /// The keys that are needed, of the password as the mechanism wants it.
    pub(super) fn request(&self, password: &str) -> KeyRequest {
        KeyRequest { parameters: self.parameters.clone(), password: password.to_owned() }
    }

    /// "client-final-message".
    pub(super) fn prove(self, keys: &ScramKeys) -> (Vec<u8>, AwaitsServerFinal) {
        let hash = self.parameters.hash;
        let signed = self.auth_message.as_bytes();
        let signature = hash.hmac(&hash.hash(&keys.client), signed);
        let proof: Vec<u8> = keys.client.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let message = format!("{},p={}", self.without_proof, BASE64.encode(proof));
        let expected = hash.hmac(&keys.server, signed);
        (message.into_bytes(), AwaitsServerFinal { expected })
    }
}

/// The proof is sent; the server's own is to come.
pub(super) struct AwaitsServerFinal {
    expected: Vec<u8>,
}

impl AwaitsServerFinal {
    /// "server-final-message".
    pub(super) fn receive(self, message: &[u8]) -> Result<(), AuthError> {
        let first = text(message)?.split(',').next();
        if let Some(what) = first.and_then(|first| first.strip_prefix("e=")) {
            let what: String = what.chars().take(100).collect();
            return Err(AuthError::malformed(format!("it says \"{what}\"")));
        }
        let signature = BASE64.decode(attribute(first, "v")?);
        let signature = signature.map_err(|_| AuthError::WrongSignature)?;
        if same(&signature, &self.expected) { Ok(()) } else { Err(AuthError::WrongSignature) }
    }
}

fn text(message: &[u8]) -> Result<&str, AuthError> {
    if message.len() > MAX_MESSAGE {
        let length = message.len();
        return Err(AuthError::malformed(format!("{length} bytes, at most {MAX_MESSAGE}")));
    }
    std::str::from_utf8(message).map_err(|_| AuthError::malformed("it is no UTF-8"))
}

/// The value of an attribute that must stand here.
fn attribute<'a>(found: Option<&'a str>, name: &str) -> Result<&'a str, AuthError> {
    let value = found.and_then(|found| found.strip_prefix(name)?.strip_prefix('='));
    value.ok_or_else(|| AuthError::malformed(format!("attribute {name} is not where it must be")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A state whose nonce is not base64 of anything.
    fn begun(hash: ScramHash, nonce: &str) -> AwaitsServerFirst {
        let fresh = AwaitsServerFirst::new(hash, "user", b"");
        let bare = format!("{}{nonce}", fresh.bare);
        AwaitsServerFirst { nonce: nonce.to_owned(), bare, ..fresh }
    }

    fn derive(request: &KeyRequest) -> ScramKeys {
        let mut work = request.derive();
        loop {
            if let Some(keys) = work.advance() {
                return keys;
            }
        }
    }

    /// The example of RFC 7677 section 3.
    #[test]
    fn the_example_of_sha_256() {
        let first = begun(ScramHash::Sha256, "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(first.message(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let keys = first
            .receive(
                b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                  s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            )
            .unwrap_or_else(|error| panic!("{error}"));
        let derived = derive(&keys.request("pencil"));
        let (proof, last) = keys.prove(&derived);
        assert_eq!(
            String::from_utf8(proof).unwrap(),
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(last.receive(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), Ok(()));
    }

    /// The example of the specification: the password is MongoDB's digest of "pencil".
    #[test]
    fn the_example_of_sha_1() {
        let first = begun(ScramHash::Sha1, "fyko+d2lbbFgONRv9qkxdawL");
        let keys = first
            .receive(
                b"r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,\
                  s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000",
            )
            .unwrap_or_else(|error| panic!("{error}"));
        let password = crate::engine::auth::password::digest("user", "pencil");
        let derived = derive(&keys.request(&password));
        let (proof, last) = keys.prove(&derived);
        assert!(proof.ends_with(b",p=MC2T8BvbmWRckDw8oWl5IVghwCY="));
        assert_eq!(last.receive(b"v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0="), Ok(()));
    }

    #[test]
    fn a_name_is_escaped_and_a_nonce_is_base64() {
        let first = AwaitsServerFirst::new(ScramHash::Sha1, "a=b,c", &[0xff; 24]);
        let message = String::from_utf8(first.message()).unwrap();
        assert_eq!(message, format!("n,,n=a=3Db=2Cc,r={}", "/".repeat(32)));
    }

    #[test]
    fn a_bad_first_answer_is_an_error_of_its_own() {
        let answer = |text: &str| {
            let first = begun(ScramHash::Sha256, "client");
            first.receive(text.as_bytes()).err().expect("an error")
        };
        assert_eq!(answer("r=someone,s=c2FsdA==,i=4096"), AuthError::WrongNonce);
        assert_eq!(answer("r=client,s=c2FsdA==,i=4096"), AuthError::WrongNonce, "nothing added");
        let count = |found, text: &str| {
            let expected = AuthError::IterationCount { found, least: 4_096, most: 2_000_000 };
            assert_eq!(answer(&format!("r=clientx,s=c2FsdA==,i={text}")), expected);
        };
        count(4_095, "4095");
        count(0, "0");
        count(2_000_001, "2000001");
        count(u64::MAX, "99999999999999999999999999");
        for malformed in [
            "",
            "m=must,r=clientx,s=c2FsdA==,i=4096",
            "r=clientx,s=c2FsdA==",
            "r=clientx,i=4096,s=c2FsdA==",
            "r=clientx,s=*,i=4096",
            "r=clientx,s=,i=4096",
            "r=clientx,s=c2FsdA==,i=+4096",
            "r=clientx,s=c2FsdA==,i=",
        ] {
            let error = answer(malformed);
            assert!(matches!(error, AuthError::Malformed { .. }), "{malformed}: {error:?}");
        }
        let long = format!("r=client{},s=c2FsdA==,i=4096", "x".repeat(5_000));
        assert!(matches!(answer(&long), AuthError::Malformed { .. }));
    }

    #[test]
    fn a_bad_last_answer_is_an_error_of_its_own() {
        let answer = |text: &[u8]| AwaitsServerFinal { expected: vec![1; 32] }.receive(text);
        let right = format!("v={}", BASE64.encode([1; 32]));
        assert_eq!(answer(right.as_bytes()), Ok(()));
        assert_eq!(answer(format!("{right},x=y").as_bytes()), Ok(()), "extensions are allowed");
        let wrong = format!("v={}", BASE64.encode([2; 32]));
        for wrong in [wrong.as_bytes(), b"v=", b"v=AQ==", b"v=*"] {
            assert_eq!(answer(wrong), Err(AuthError::WrongSignature));
        }
        for malformed in [&b""[..], b"x=y", b"\xff", b"e=other-error"] {
            let error = answer(malformed).unwrap_err();
            assert!(matches!(error, AuthError::Malformed { .. }), "{error:?}");
        }
    }
}
