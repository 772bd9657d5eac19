//! Changing, replacing and deleting documents.

use bson::RawDocumentBuf;
use js_sys::Promise;

use portolan::{Error, ReturnDocument};
use wasm_bindgen::prelude::*;

use crate::client::{Signal, WasmClient, js_bytes};
use crate::failure::{from_portolan, invalid};
use crate::operation::operation;
use crate::reply;
use crate::request::{Change, Modify};

#[wasm_bindgen]
impl WasmClient {
    /// Changes or replaces the first match, or all; `{matchedCount, modifiedCount, upsertedId}`.
    pub fn update(&self, db: &str, collection: &str, request: Vec<u8>, signal: Signal) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let Modify { filter, change, many, upsert, array_filters, .. } = Modify::read(request)?;
            let upsert = upsert.unwrap_or_default();
            let result = match (change, many) {
                (None, _) => return Err(invalid("there is no update")),
                (Some(Change::Replacement(document)), _) => {
                    collection.replace_raw(filter, document).upsert(upsert).await
                }
                (Some(Change::Update(update)), false) => {
                    let mut action = collection.update_one(filter, update).upsert(upsert);
                    if let Some(filters) = array_filters {
                        action = action.array_filters(filters);
                    }
                    action.await
                }
                (Some(Change::Update(update)), true) => {
                    let mut action = collection.update_many(filter, update).upsert(upsert);
                    if let Some(filters) = array_filters {
                        action = action.array_filters(filters);
                    }
                    action.await
                }
            };
            reply::updated(result.map_err(|error| from_portolan(&error))?)
        })
    }

    /// Deletes the first match, or all; `{deletedCount}`.
    pub fn delete(&self, db: &str, collection: &str, request: Vec<u8>, signal: Signal) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let Modify { filter, many, .. } = Modify::read(request)?;
            let result = match many {
                false => collection.delete_one(filter).await,
                true => collection.delete_many(filter).await,
            };
            reply::deleted(&result.map_err(|error| from_portolan(&error))?)
        })
    }

    /// Changes, replaces or deletes the first match, and gives it: its bytes, or `undefined`.
    #[wasm_bindgen(js_name = findOneAndModify)]
    pub fn find_one_and_modify(
        &self,
        db: &str,
        collection: &str,
        request: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let request = Modify::read(request)?;
            let found = find_one_and_modify(&collection, request).await;
            let found = found.map_err(|error| from_portolan(&error))?;
            Ok(found.map_or(JsValue::UNDEFINED, |found| js_bytes(&found)))
        })
    }
}

async fn find_one_and_modify(
    collection: &portolan::Collection<()>,
    request: Modify,
) -> Result<Option<RawDocumentBuf>, Error> {
    let Modify { filter, change, upsert, sort, projection, after, array_filters, .. } = request;
    let upsert = upsert.unwrap_or_default();
    let which = if after { ReturnDocument::After } else { ReturnDocument::Before };
    // The builders are types of their own, with the same methods.
    macro_rules! with_options {
        ($action:expr) => {{
            let mut action = $action;
            if let Some(sort) = sort {
                action = action.sort(sort);
            }
            if let Some(projection) = projection {
                action = action.projection(projection);
            }
            action
        }};
    }
    match change {
        None => with_options!(collection.find_one_and_delete(filter)).raw().await,
        Some(Change::Replacement(document)) => {
            let action = collection.find_one_and_replace_raw(filter, document);
            with_options!(action).upsert(upsert).return_document(which).raw().await
        }
        Some(Change::Update(update)) => {
            let action = with_options!(collection.find_one_and_update(filter, update));
            let mut action = action.upsert(upsert).return_document(which);
            if let Some(filters) = array_filters {
                action = action.array_filters(filters);
            }
            action.raw().await
        }
    }
}
