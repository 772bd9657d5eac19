//! What JavaScript asks for: raw BSON and JSON into the core's types.

use std::collections::BTreeMap;
use std::time::Duration;

use bson::{Document, RawDocumentBuf};
use portolan::ReadPreference;
use portolan::engine::selection::ReadPreferenceMode;
use serde::Deserialize;
use wasm_bindgen::JsValue;

use crate::failure::invalid;

/// The options of `find`, `findOne` and `countDocuments`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Find {
    pub(crate) filter: Document,
    pub(crate) sort: Option<Document>,
    pub(crate) projection: Option<Document>,
    pub(crate) limit: Option<i64>,
    pub(crate) skip: Option<u64>,
    pub(crate) batch_size: Option<u32>,
    /// JSON, as for commands.
    read_preference: Option<String>,
}

impl Find {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, JsValue> {
        bson::deserialize_from_slice(bytes).map_err(invalid)
    }

    pub(crate) fn read_preference(&self) -> Result<Option<ReadPreference>, JsValue> {
        self.read_preference.as_deref().map(read_preference).transpose()
    }
}

/// The argument of `insertMany`.
#[derive(Deserialize)]
pub(crate) struct InsertMany {
    pub(crate) documents: Vec<RawDocumentBuf>,
}

impl InsertMany {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, JsValue> {
        bson::deserialize_from_slice(bytes).map_err(invalid)
    }
}

/// The arguments of `updateOne` and `deleteOne`.
#[derive(Deserialize)]
pub(crate) struct Modify {
    pub(crate) filter: Document,
    pub(crate) update: Option<Update>,
    pub(crate) upsert: Option<bool>,
}

/// Update operators, or an aggregation pipeline.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Update {
    Operators(Document),
    Pipeline(Vec<Document>),
}

impl Modify {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, JsValue> {
        bson::deserialize_from_slice(bytes).map_err(invalid)
    }
}

/// One whole document.
pub(crate) fn document(bytes: Vec<u8>) -> Result<RawDocumentBuf, JsValue> {
    RawDocumentBuf::from_bytes(bytes).map_err(invalid)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Preference {
    mode: String,
    #[serde(default)]
    tags: Vec<BTreeMap<String, String>>,
    max_staleness_seconds: Option<f64>,
}

/// A read preference as `web/js/read-preference.ts` writes it.
pub(crate) fn read_preference(json: &str) -> Result<ReadPreference, JsValue> {
    let wanted: Preference = serde_json::from_str(json).map_err(invalid)?;
    let mode: ReadPreferenceMode = wanted.mode.parse().map_err(invalid)?;
    let mut preference = ReadPreference::of(mode);
    preference.tag_sets = wanted.tags;
    preference.max_staleness = wanted
        .max_staleness_seconds
        .map(Duration::try_from_secs_f64)
        .transpose()
        .map_err(invalid)?;
    preference.validate().map_err(invalid)?;
    Ok(preference)
}
