//! What JavaScript asks for: raw BSON into the core's types.
//!
//! Read by hand: serde's way through `Document` is instantiated once for every BSON type and field,
//! which made the module a third larger.

use std::time::Duration;

use bson::raw::RawBsonRef;
use bson::{RawArray, RawDocument, RawDocumentBuf};
use js_sys::Reflect;
use portolan::engine::selection::{ReadPreferenceMode, TagSet};
use portolan::options::TopologySnapshot;
use portolan::{ReadPreference, UpdateModifications};
use wasm_bindgen::JsValue;

use crate::failure::invalid;

/// The options of `find`, `findOne`, `countDocuments` and `distinct`.
pub(crate) struct Find {
    pub(crate) filter: RawDocumentBuf,
    /// The field of `distinct`.
    pub(crate) key: Option<String>,
    pub(crate) sort: Option<RawDocumentBuf>,
    pub(crate) projection: Option<RawDocumentBuf>,
    pub(crate) limit: Option<i64>,
    pub(crate) skip: Option<u64>,
    pub(crate) batch_size: Option<u32>,
    pub(crate) read_preference: Option<ReadPreference>,
}

impl Find {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, JsValue> {
        let request = Request::new(bytes)?;
        Ok(Self {
            filter: request.filter()?,
            key: request.get("key")?.and_then(|key| key.as_str()).map(str::to_owned),
            sort: request.document("sort")?,
            projection: request.document("projection")?,
            limit: request.integer("limit")?,
            skip: request.natural("skip")?,
            batch_size: request.natural("batchSize")?,
            read_preference: request.preference()?,
        })
    }
}

/// The arguments of everything that changes or deletes documents.
pub(crate) struct Modify {
    pub(crate) filter: RawDocumentBuf,
    pub(crate) change: Option<Change>,
    /// All matches, not the first.
    pub(crate) many: bool,
    pub(crate) upsert: Option<bool>,
    pub(crate) array_filters: Option<Vec<RawDocumentBuf>>,
    pub(crate) sort: Option<RawDocumentBuf>,
    pub(crate) projection: Option<RawDocumentBuf>,
    /// Whether the document is wanted as it is afterwards.
    pub(crate) after: bool,
}

/// What becomes of a document.
pub(crate) enum Change {
    Update(UpdateModifications),
    Replacement(RawDocumentBuf),
}

impl Modify {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, JsValue> {
        let request = Request::new(bytes)?;
        let change = match (request.get("update")?, request.get("replacement")?) {
            (Some(RawBsonRef::Array(_)), _) => {
                let stages = request.documents("update")?.unwrap_or_default();
                Some(Change::Update(stages.into()))
            }
            (Some(value), _) => {
                Some(Change::Update(expect_document(value, "update")?.to_owned().into()))
            }
            (None, Some(value)) => {
                let replacement = expect_document(value, "replacement")?;
                Some(Change::Replacement(replacement.to_owned()))
            }
            (None, None) => None,
        };
        Ok(Self {
            change,
            many: request.flag("many")?.unwrap_or_default(),
            upsert: request.flag("upsert")?,
            array_filters: request.documents("arrayFilters")?,
            sort: request.document("sort")?,
            projection: request.document("projection")?,
            after: request.flag("after")?.unwrap_or_default(),
            filter: request.filter()?,
        })
    }
}

/// The arguments of `aggregate`.
pub(crate) struct Pipeline {
    pub(crate) stages: Vec<RawDocumentBuf>,
    pub(crate) batch_size: Option<u32>,
    pub(crate) allow_disk_use: Option<bool>,
    pub(crate) read_preference: Option<ReadPreference>,
}

impl Pipeline {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, JsValue> {
        let request = Request::new(bytes)?;
        let stages = request.documents("pipeline")?;
        Ok(Self {
            stages: stages.ok_or_else(|| invalid("there is no pipeline"))?,
            batch_size: request.natural("batchSize")?,
            allow_disk_use: request.flag("allowDiskUse")?,
            read_preference: request.preference()?,
        })
    }
}

/// One whole document.
pub(crate) fn document(bytes: Vec<u8>) -> Result<RawDocumentBuf, JsValue> {
    RawDocumentBuf::from_bytes(bytes).map_err(invalid)
}

/// What an earlier client has learned.
pub(crate) fn snapshot(given: &JsValue) -> Result<TopologySnapshot, JsValue> {
    let part = |name: &str| Reflect::get(given, &name.into()).ok();
    let format = part("format").and_then(|format| format.as_f64());
    let format = format.filter(|format| format.fract() == 0.0);
    let format = format.ok_or_else(|| invalid("the snapshot has no format"))?;
    // Absent before format 2, which is refused for its format.
    let state = part("state").and_then(|state| state.as_string()).unwrap_or_default();
    TopologySnapshot::read(format as u32, &state).map_err(invalid)
}

/// A read preference, from the document that `web/js/read-preference.ts` writes.
fn preference(wanted: &RawDocument) -> Result<ReadPreference, JsValue> {
    let mode: ReadPreferenceMode =
        wanted.get_str("mode").map_err(invalid)?.parse().map_err(invalid)?;
    let mut preference = ReadPreference::of(mode);
    if let Some(RawBsonRef::Array(sets)) = wanted.get("tags").map_err(invalid)? {
        for set in sets {
            let set = expect_document(set.map_err(invalid)?, "tags")?;
            preference.tag_sets.push(tag_set(set)?);
        }
    }
    if let Some(seconds) = wanted.get("maxStalenessSeconds").map_err(invalid)? {
        let seconds = number(seconds).ok_or_else(|| invalid("maxStalenessSeconds is no number"))?;
        preference.max_staleness = Some(Duration::try_from_secs_f64(seconds).map_err(invalid)?);
    }
    preference.validate().map_err(invalid)?;
    Ok(preference)
}

fn tag_set(set: &RawDocument) -> Result<TagSet, JsValue> {
    let pair = |item: bson::error::Result<(&bson::raw::CStr, RawBsonRef<'_>)>| {
        let (name, value) = item.map_err(invalid)?;
        let value = value.as_str().ok_or_else(|| invalid("a tag's value is a text"))?;
        Ok((name.as_str().to_owned(), value.to_owned()))
    };
    set.iter().map(pair).collect()
}

/// The arguments of one call.
pub(crate) struct Request(RawDocumentBuf);

impl Request {
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, JsValue> {
        document(bytes).map(Self)
    }

    fn get(&self, name: &str) -> Result<Option<RawBsonRef<'_>>, JsValue> {
        self.0.get(name).map_err(invalid)
    }

    fn filter(&self) -> Result<RawDocumentBuf, JsValue> {
        self.document("filter")?.ok_or_else(|| invalid("there is no filter"))
    }

    fn document(&self, name: &str) -> Result<Option<RawDocumentBuf>, JsValue> {
        let value = self.get(name)?;
        value.map(|value| expect_document(value, name).map(ToOwned::to_owned)).transpose()
    }

    fn documents(&self, name: &str) -> Result<Option<Vec<RawDocumentBuf>>, JsValue> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        let array = value.as_array().ok_or_else(|| invalid(format!("{name} is no array")))?;
        each(array, name).map(Some)
    }

    /// The document of that name, which must be there, as it is.
    pub(crate) fn raw(&self, name: &str) -> Result<RawDocumentBuf, JsValue> {
        self.0.get_document(name).map(ToOwned::to_owned).map_err(invalid)
    }

    /// The documents of that array, which must be there, as they are.
    pub(crate) fn raws(&self, name: &str) -> Result<Vec<RawDocumentBuf>, JsValue> {
        each(self.0.get_array(name).map_err(invalid)?, name)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, JsValue> {
        match self.get(name)? {
            None => Ok(None),
            Some(RawBsonRef::Boolean(flag)) => Ok(Some(flag)),
            Some(_) => Err(invalid(format!("{name} is no boolean"))),
        }
    }

    pub(crate) fn preference(&self) -> Result<Option<ReadPreference>, JsValue> {
        let Some(value) = self.get("readPreference")? else { return Ok(None) };
        preference(expect_document(value, "readPreference")?).map(Some)
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, JsValue> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        let wrong = || invalid(format!("{name} is no whole number"));
        match value {
            RawBsonRef::Int64(number) => Ok(Some(number)),
            other => {
                let number = number(other).filter(|number| number.fract() == 0.0);
                // In range: JavaScript's whole numbers end far below 2^63.
                number.map(|number| Some(number as i64)).ok_or_else(wrong)
            }
        }
    }

    fn natural<N: TryFrom<i64>>(&self, name: &str) -> Result<Option<N>, JsValue> {
        let wrong = |_| invalid(format!("{name} is negative or too large"));
        self.integer(name)?.map(|number| N::try_from(number).map_err(wrong)).transpose()
    }
}

fn number(value: RawBsonRef<'_>) -> Option<f64> {
    match value {
        RawBsonRef::Int32(number) => Some(f64::from(number)),
        RawBsonRef::Double(number) => Some(number),
        _ => None,
    }
}

fn expect_document<'a>(value: RawBsonRef<'a>, name: &str) -> Result<&'a RawDocument, JsValue> {
    value.as_document().ok_or_else(|| invalid(format!("{name} is no document")))
}

fn each(array: &RawArray, name: &str) -> Result<Vec<RawDocumentBuf>, JsValue> {
    let read = |item: bson::error::Result<RawBsonRef<'_>>| {
        expect_document(item.map_err(invalid)?, name).map(ToOwned::to_owned)
    };
    array.into_iter().map(read).collect()
}
