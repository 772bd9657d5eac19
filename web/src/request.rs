//! What JavaScript asks for: raw BSON into the core's types.
//!
//! Read by hand: serde's way through `Document` is instantiated once for every BSON type and field,
//! which made the module a third larger.

use std::time::Duration;

use bson::raw::RawBsonRef;
use bson::{Document, RawDocument, RawDocumentBuf};
use portolan::ReadPreference;
use portolan::engine::selection::{ReadPreferenceMode, TagSet};
use wasm_bindgen::JsValue;

use crate::failure::invalid;

/// The options of `find`, `findOne` and `countDocuments`.
pub(crate) struct Find {
    pub(crate) filter: Document,
    pub(crate) sort: Option<Document>,
    pub(crate) projection: Option<Document>,
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
            sort: request.document("sort")?,
            projection: request.document("projection")?,
            limit: request.integer("limit")?,
            skip: request.natural("skip")?,
            batch_size: request.natural("batchSize")?,
            read_preference: match request.get("readPreference")? {
                Some(value) => Some(preference(expect_document(value, "readPreference")?)?),
                None => None,
            },
        })
    }
}

/// The argument of `insertMany`.
pub(crate) fn insert_many(bytes: Vec<u8>) -> Result<Vec<RawDocumentBuf>, JsValue> {
    let request = Request::new(bytes)?;
    let documents = request.0.get_array("documents").map_err(invalid)?;
    let read = |item: bson::error::Result<RawBsonRef<'_>>| {
        expect_document(item.map_err(invalid)?, "documents").map(ToOwned::to_owned)
    };
    documents.into_iter().map(read).collect()
}

/// The arguments of `updateOne` and `deleteOne`.
pub(crate) struct Modify {
    pub(crate) filter: Document,
    pub(crate) update: Option<Update>,
    pub(crate) upsert: Option<bool>,
}

/// What an update does.
pub(crate) enum Update {
    /// Update operators.
    Operators(Document),
    /// The stages of an aggregation pipeline.
    Pipeline(Vec<Document>),
}

impl Modify {
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Self, JsValue> {
        let request = Request::new(bytes)?;
        let update = match request.get("update")? {
            None => None,
            Some(RawBsonRef::Array(stages)) => Some(Update::Pipeline(
                stages
                    .into_iter()
                    .map(|stage| owned(expect_document(stage.map_err(invalid)?, "update")?))
                    .collect::<Result<_, _>>()?,
            )),
            Some(value) => Some(Update::Operators(owned(expect_document(value, "update")?)?)),
        };
        let upsert = match request.get("upsert")? {
            None => None,
            Some(RawBsonRef::Boolean(upsert)) => Some(upsert),
            Some(_) => return Err(invalid("upsert is no boolean")),
        };
        Ok(Self { filter: request.filter()?, update, upsert })
    }
}

/// One whole document.
pub(crate) fn document(bytes: Vec<u8>) -> Result<RawDocumentBuf, JsValue> {
    RawDocumentBuf::from_bytes(bytes).map_err(invalid)
}

/// A read preference, from the document that `web/js/read-preference.ts` writes.
pub(crate) fn read_preference(bytes: Vec<u8>) -> Result<ReadPreference, JsValue> {
    preference(&document(bytes)?)
}

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
struct Request(RawDocumentBuf);

impl Request {
    fn new(bytes: Vec<u8>) -> Result<Self, JsValue> {
        document(bytes).map(Self)
    }

    fn get(&self, name: &str) -> Result<Option<RawBsonRef<'_>>, JsValue> {
        self.0.get(name).map_err(invalid)
    }

    fn filter(&self) -> Result<Document, JsValue> {
        self.document("filter")?.ok_or_else(|| invalid("there is no filter"))
    }

    fn document(&self, name: &str) -> Result<Option<Document>, JsValue> {
        let value = self.get(name)?;
        value.map(|value| owned(expect_document(value, name)?)).transpose()
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

fn owned(document: &RawDocument) -> Result<Document, JsValue> {
    Document::try_from(document).map_err(invalid)
}
