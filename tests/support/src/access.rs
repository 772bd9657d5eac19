//! Servers that let nobody in without a password: their key, and how this crate itself gets in.
//!
//! The few lines of SCRAM are repeated here on purpose, as those of the wire protocol are.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};
use hmac_sha256::{HMAC, Hash};

use crate::{Connection, Error, Result};

/// What the members of a set know each other by, and the password of their own user `__system`.
const KEY: &str = "portolan/tests/only/on/loopback0";

/// Writes the key's file of member `id` into `folder`; a server wants nobody else to be able to
/// read it.
pub(crate) fn key_file(folder: &Path, id: usize) -> Result<PathBuf> {
    let path = folder.join(format!("{id}.key"));
    fs::write(&path, KEY).map_err(Error::io("writing the key file"))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&path, mode).map_err(Error::io("closing the key file"))?;
    }
    Ok(path)
}

/// Authenticates as the servers' own user, who may do everything.
pub(crate) fn enter(connection: &mut Connection) -> Result<()> {
    let nonce = format!("{:016x}", RandomState::new().hash_one(()));
    let bare = format!("n=__system,r={nonce}");
    let start = doc! {
        "saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": payload(&format!("n,,{bare}")),
        "options": { "skipEmptyExchange": true }, "$db": "local",
    };
    let reply = connection.run(&start)?;
    let first = text(&reply)?;
    let attribute = |name: &str| {
        let found = first.split(',').find_map(|part| part.strip_prefix(name));
        found.ok_or_else(|| Error::Protocol(format!("no {name} in {first}")))
    };
    let salt = decode(attribute("s=")?)?;
    let count = attribute("i=")?.parse().map_err(|_| Error::Protocol(first.clone()))?;
    let salted = salted_password(&salt, count);
    let final_without_proof = format!("c=biws,r={}", attribute("r=")?);
    let client_key = HMAC::mac(b"Client Key", salted);
    let signed = format!("{bare},{first},{final_without_proof}");
    let signature = HMAC::mac(signed, Hash::hash(&client_key));
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
    let message = format!("{final_without_proof},p={}", encode(&proof));
    let id = reply.get("conversationId").cloned();
    let go_on = doc! {
        "saslContinue": 1, "conversationId": id, "payload": payload(&message), "$db": "local",
    };
    let last = connection.run(&go_on)?;
    if last.get_bool("done").unwrap_or(false) {
        Ok(())
    } else {
        Err(Error::Protocol(last.to_string()))
    }
}

/// PBKDF2, once for each salt: servers are asked often while they start.
fn salted_password(salt: &[u8], count: u32) -> [u8; 32] {
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let known = || KNOWN.lock().expect("not poisoned: nothing panics with it");
    if let Some(known) = known().get(&(salt.to_vec(), count)) {
        return *known;
    }
    let mut last = HMAC::mac([salt, &1_u32.to_be_bytes()].concat(), KEY);
    let mut sum = last;
    for _ in 1..count {
        last = HMAC::mac(last, KEY);
        sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
    }
    known().insert((salt.to_vec(), count), sum);
    sum
}

/// Salted passwords by salt and count.
type Known = BTreeMap<(Vec<u8>, u32), [u8; 32]>;

fn payload(message: &str) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: message.as_bytes().to_vec() }
}

fn text(reply: &Document) -> Result<String> {
    let bytes = reply.get_binary_generic("payload");
    let bytes = bytes.map_err(|error| Error::Protocol(error.to_string()))?;
    String::from_utf8(bytes.clone()).map_err(|error| Error::Protocol(error.to_string()))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| chunk.get(at).copied().map_or(0, u32::from);
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) as usize & 63;
            let letter = if place <= chunk.len() { ALPHABET[index] } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text
}

fn decode(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let index = ALPHABET.iter().position(|known| *known == letter);
        let index = index.ok_or_else(|| Error::Protocol(format!("no base64: {text}")))?;
        bits = bits << 6 | u32::try_from(index).unwrap_or(0);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_every_length() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xff\xfe\xfd\xfc", "//79/A=="),
        ] {
            assert_eq!(encode(bytes), text);
            assert_eq!(decode(text).expect("base64"), bytes);
        }
        assert!(decode("a*").is_err());
    }
}
