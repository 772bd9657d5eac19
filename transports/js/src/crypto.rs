//! The host's own cryptography (Web Crypto): keys are derived off this thread, in machine code.

use js_sys::{Array, Object, Promise, Reflect, Uint8Array};
use portolan::transport::{KeyRequest, ScramHash};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = importKey)]
    fn import_key(
        format: &str,
        key: &Uint8Array,
        algorithm: &str,
        extractable: bool,
        usages: &Array,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch, js_namespace = ["crypto", "subtle"], js_name = deriveBits)]
    fn derive_bits(parameters: &Object, key: &JsValue, length: u32) -> Result<Promise, JsValue>;
}

/// PBKDF2; `None` where the host refuses: a page that came over plain HTTP has no such
/// cryptography, and some hosts bound the rounds.
pub(crate) async fn salted_password(request: &KeyRequest) -> Option<Vec<u8>> {
    derive(request).await.ok()
}

async fn derive(request: &KeyRequest) -> Result<Vec<u8>, JsValue> {
    let (hash, bits) = match request.hash() {
        ScramHash::Sha1 => ("SHA-1", 160),
        ScramHash::Sha256 => ("SHA-256", 256),
    };
    let password = Uint8Array::from(request.password().as_bytes());
    let usages = Array::of1(&"deriveBits".into());
    let key = import_key("raw", &password, "PBKDF2", false, &usages)?;
    let key = JsFuture::from(key).await?;
    let parameters = Object::new();
    let salt = Uint8Array::from(request.salt());
    for (name, value) in [
        ("name", "PBKDF2".into()),
        ("hash", hash.into()),
        ("salt", salt.into()),
        ("iterations", request.iterations().into()),
    ] {
        Reflect::set(&parameters, &JsValue::from_str(name), &value)?;
    }
    let salted = JsFuture::from(derive_bits(&parameters, &key, bits)?).await?;
    Ok(Uint8Array::new(&salted).to_vec())
}
