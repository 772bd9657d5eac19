//! Errors on their way to JavaScript.

use std::fmt::Display;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::JsValue;

/// What a rejected promise carries: `ErrorFacts` of `web/js/error.ts`.
pub(crate) fn from_portolan(error: &portolan::Error) -> JsValue {
    let facts = facts(&error.to_string(), error.kind().name());
    if let Some(code) = error.code() {
        set(&facts, "code", &JsValue::from(code));
    }
    let labels: Array = error.labels().map(JsValue::from_str).collect();
    set(&facts, "labels", &labels);
    facts.into()
}

/// A caller's mistake: bytes that are no document, an option of the wrong type.
pub(crate) fn invalid(error: impl Display) -> JsValue {
    facts(&error.to_string(), "invalidArgument").into()
}

fn facts(message: &str, kind: &str) -> Object {
    let facts = Object::new();
    set(&facts, "message", &JsValue::from_str(message));
    set(&facts, "kind", &JsValue::from_str(kind));
    facts
}

fn set(object: &Object, key: &str, value: &JsValue) {
    // Fails on frozen objects only, and this one is ours.
    let _ = Reflect::set(object, &JsValue::from_str(key), value);
}
