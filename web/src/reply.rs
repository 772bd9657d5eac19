//! What JavaScript gets: results of operations as small BSON documents.

use bson::{RawArrayBuf, RawBson, RawDocument, rawdoc};
use js_sys::Uint8Array;
use portolan::engine::op::UpdateOutput;
use portolan::{DeleteResult, Ping, ServerAddress, ServerType, SortedMap};
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::json;

/// The outcome of a ping, as JSON text.
pub(crate) fn pong(ping: &Ping) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Pong<'a> {
        address: &'a ServerAddress,
        server_type: ServerType,
        duration_ms: f64,
    }
    json::text(&Pong {
        address: &ping.address,
        server_type: ping.server_type,
        duration_ms: ping.duration.as_secs_f64() * 1000.0,
    })
}

pub(crate) fn inserted_one(ids: SortedMap<usize, RawBson>) -> JsValue {
    bytes(&rawdoc! { "insertedId": ids.into_values().next().unwrap_or(RawBson::Null) })
}

pub(crate) fn inserted_many(ids: SortedMap<usize, RawBson>) -> JsValue {
    // Indexes are 0, 1, 2... in order, so that an array holds the map.
    let mut array = RawArrayBuf::new();
    for id in ids.into_values() {
        array.push(id);
    }
    bytes(&rawdoc! { "insertedIds": array })
}

pub(crate) fn updated(result: UpdateOutput) -> JsValue {
    bytes(&rawdoc! {
        "matchedCount": count(result.matched_count),
        "modifiedCount": count(result.modified_count),
        "upsertedId": result.upserted_id.unwrap_or(RawBson::Null),
    })
}

pub(crate) fn deleted(result: &DeleteResult) -> JsValue {
    bytes(&rawdoc! { "deletedCount": count(result.deleted_count) })
}

pub(crate) fn values(values: RawArrayBuf) -> JsValue {
    bytes(&rawdoc! { "values": values })
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A document's bytes, for JavaScript to read.
pub(crate) fn bytes(document: &RawDocument) -> JsValue {
    Uint8Array::from(document.as_bytes()).into()
}
