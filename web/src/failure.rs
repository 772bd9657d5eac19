//! Errors on their way to JavaScript.

use std::fmt::Display;

use js_sys::{Array, Object, Reflect};
use portolan::error::ErrorKind;
use wasm_bindgen::JsValue;

use crate::json;

/// What a rejected promise carries: `ErrorFacts` of `web/js/error.ts`.
pub(crate) fn from_portolan(error: &portolan::Error) -> JsValue {
    let facts = facts(&error.to_string(), name(error.kind()));
    if let Some(code) = error.code() {
        set(&facts, "code", &JsValue::from(code));
    }
    let labels: Array = error.labels().iter().map(|label| JsValue::from_str(label)).collect();
    set(&facts, "labels", &labels);
    if let ErrorKind::ServerSelection { verdicts, hints, .. } = innermost(error) {
        let hints: Vec<String> = hints.iter().map(ToString::to_string).collect();
        set(&facts, "reasons", &parsed(verdicts));
        set(&facts, "hints", &parsed(&hints));
    }
    facts.into()
}

/// What an operation was doing when its time was over, else the error itself.
fn innermost(error: &portolan::Error) -> &ErrorKind {
    match error.kind() {
        ErrorKind::OperationTimeout { cause, .. } => innermost(cause),
        kind => kind,
    }
}

fn parsed(value: &impl serde::Serialize) -> JsValue {
    // Not expected to fail: the text is ours.
    js_sys::JSON::parse(&json::text(value)).unwrap_or(JsValue::UNDEFINED)
}

/// The caller has ended the operation, for this reason.
pub(crate) fn aborted(reason: &JsValue) -> JsValue {
    let facts = facts("the operation was aborted by its signal", "aborted");
    set(&facts, "cause", reason);
    facts.into()
}

/// Options that the host cannot honour, for the reason that it throws.
pub(crate) fn bad_options(thrown: &JsValue) -> JsValue {
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|text| text.as_string());
    let text = message.or_else(|| thrown.as_string());
    facts(&text.unwrap_or_else(|| format!("{thrown:?}")), "options").into()
}

/// A caller's mistake: bytes that are no document, an option of the wrong type.
pub(crate) fn invalid(error: impl Display) -> JsValue {
    facts(&error.to_string(), "invalidArgument").into()
}

/// The names of `ErrorKind` in `web/js/error.ts`.
fn name(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidArgument(_) => "invalidArgument",
        ErrorKind::Options(_) => "options",
        ErrorKind::ServerSelection { .. } => "serverSelection",
        ErrorKind::Network { .. } => "network",
        ErrorKind::Tls { .. } => "tls",
        ErrorKind::Timeout { .. } => "timeout",
        ErrorKind::OperationTimeout { .. } => "operationTimeout",
        ErrorKind::Srv(_) => "srv",
        ErrorKind::Protocol { .. } => "protocol",
        ErrorKind::Authentication { .. } => "authentication",
        ErrorKind::Pool { .. } => "pool",
        ErrorKind::Command(_) => "command",
        ErrorKind::Write(_) => "write",
        ErrorKind::Reply { .. } => "reply",
        ErrorKind::Bson(_) => "bson",
        ErrorKind::Shutdown => "shutdown",
        // The enum may grow; a new kind gets a name here when it does.
        _ => "internal",
    }
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
