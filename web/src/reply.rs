//! What JavaScript gets: results of operations as small BSON documents.

use bson::{Bson, Document, RawDocumentBuf, doc};
use js_sys::Uint8Array;
use portolan::{DeleteResult, InsertManyResult, Ping, ServerAddress, ServerType, UpdateResult};
use serde::Serialize;
use wasm_bindgen::JsValue;

use crate::failure::invalid;
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

pub(crate) fn inserted_one(result: InsertManyResult) -> Result<JsValue, JsValue> {
    let id = result.inserted_ids.into_values().next().unwrap_or(Bson::Null);
    bytes(&doc! { "insertedId": id })
}

pub(crate) fn inserted_many(result: InsertManyResult) -> Result<JsValue, JsValue> {
    // Indexes are 0, 1, 2... in order, so that an array holds the map.
    let ids: Vec<Bson> = result.inserted_ids.into_values().collect();
    bytes(&doc! { "insertedIds": ids })
}

pub(crate) fn updated(result: UpdateResult) -> Result<JsValue, JsValue> {
    bytes(&doc! {
        "matchedCount": count(result.matched_count),
        "modifiedCount": count(result.modified_count),
        "upsertedId": result.upserted_id.unwrap_or(Bson::Null),
    })
}

pub(crate) fn deleted(result: &DeleteResult) -> Result<JsValue, JsValue> {
    bytes(&doc! { "deletedCount": count(result.deleted_count) })
}

pub(crate) fn values(values: Vec<Bson>) -> Result<JsValue, JsValue> {
    bytes(&doc! { "values": values })
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn bytes(document: &Document) -> Result<JsValue, JsValue> {
    let raw = RawDocumentBuf::try_from(document).map_err(invalid)?;
    Ok(Uint8Array::from(raw.as_bytes()).into())
}
