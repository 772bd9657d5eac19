//! Tokens as an issuer makes them, and as a forger does.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portolan_bridge::{Access, JwtKeys, StaticTokens};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

pub const STATIC: &str = "static-token-of-sixteen";
pub const ORDERS_ONLY: &str = "static-token-for-orders";
pub const SECRET: &[u8] = b"thirty-two bytes of shared secret";
pub const AUDIENCE: &str = "portolan-tests";

/// A part of a token.
pub fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with this header and these claims, signed by `sign`.
pub fn token(header: &Value, claims: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Seconds since 1970, and so many more.
pub fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

/// Claims that are fine.
pub fn claims() -> Value {
    json!({ "sub": "ann", "aud": AUDIENCE, "exp": in_seconds(300) })
}

/// A change to the fine claims.
pub fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

pub fn hs256(claims: &Value, secret: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    token(&json!({ "alg": "HS256", "typ": "JWT" }), claims, |bytes| {
        hmac::sign(&key, bytes).as_ref().to_vec()
    })
}

/// An issuer with a key pair.
pub struct Issuer(Ed25519KeyPair);

impl Issuer {
    pub fn new() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap())
    }

    pub fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    pub fn public_pem(&self) -> String {
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        let der = [&head[..], &self.public_key()].concat();
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    pub fn eddsa(&self, claims: &Value) -> String {
        let header = json!({ "alg": "EdDSA", "typ": "JWT" });
        token(&header, claims, |bytes| self.0.sign(bytes).as_ref().to_vec())
    }
}

/// A bridge's access by all three kinds of tokens.
pub fn access(issuer: &Issuer) -> Access {
    let keys = JwtKeys::new(AUDIENCE).with_hs256(SECRET).unwrap();
    let keys = keys.with_eddsa(issuer.public_pem().as_bytes()).unwrap();
    let text = format!("{STATIC}\n{ORDERS_ONLY} orders\n");
    Access { tokens: StaticTokens::parse(&text).unwrap(), jwt: Some(keys) }
}
