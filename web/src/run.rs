//! The operations, by name: what each wants as a BSON document, and what it gives.

use bson::RawDocumentBuf;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use portolan::{Client, Collection, Database, Error, ReturnDocument};
use wasm_bindgen::JsValue;

use crate::cursor::WasmCursor;
use crate::failure::{from_portolan, invalid};
use crate::promise::Work;
use crate::reply::{self, bytes};
use crate::request::{Change, Find, Modify, Pipeline, Request, document};

type Outcome = Result<JsValue, JsValue>;

/// What an operation is run against.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) db: String,
    pub(crate) collection: Option<String>,
}

impl Target {
    fn database(&self) -> Database {
        self.client.database(&self.db)
    }

    /// Its collection, which all operations but two have.
    fn collection(&self) -> Collection<()> {
        self.database().collection(self.collection.as_deref().unwrap_or_default())
    }
}

/// The builder with the options that were given. The builders are types of their own, with methods
/// of the same names.
macro_rules! given {
    ($action:expr, { $($option:ident: $value:expr),+ $(,)? }) => {{
        let mut action = $action;
        $(if let Some(value) = $value {
            action = action.$option(value);
        })+
        action
    }};
}

/// The operation of that name, ready to be polled.
pub(crate) fn operation(name: &str, target: Target, request: Vec<u8>) -> Work {
    match name {
        "aggregate" => Box::pin(aggregate(target, request)),
        "countDocuments" => Box::pin(count_documents(target, request)),
        "delete" => Box::pin(delete(target, request)),
        "distinct" => Box::pin(distinct(target, request)),
        "estimatedDocumentCount" => Box::pin(estimated_document_count(target)),
        "find" => Box::pin(find(target, request)),
        "findOne" => Box::pin(find_one(target, request)),
        "findOneAndModify" => Box::pin(find_one_and_modify(target, request)),
        "insertMany" => Box::pin(insert_many(target, request)),
        "insertOne" => Box::pin(insert_one(target, request)),
        "ping" => Box::pin(ping(target, request)),
        "runCommand" => Box::pin(run_command(target, request)),
        "update" => Box::pin(update(target, request)),
        unknown => {
            let unknown = invalid(format!("there is no operation {unknown}"));
            Box::pin(async { Err(unknown) })
        }
    }
}

/// Pings a server; JSON text of address, type and duration.
async fn ping(target: Target, request: Vec<u8>) -> Outcome {
    let preference = Request::new(request)?.preference()?.unwrap_or_default();
    let ping = target.client.ping(preference).await.map_err(failed)?;
    Ok(reply::pong(&ping).into())
}

/// Runs a command; the reply's bytes.
async fn run_command(target: Target, request: Vec<u8>) -> Outcome {
    let request = Request::new(request)?;
    let (command, preference) = (request.raw("command")?, request.preference()?);
    let command = target.database().run_command(command);
    let command = command.read_preference(preference.unwrap_or_default());
    Ok(bytes(&command.raw().await.map_err(failed)?))
}

/// Opens a cursor: a [`WasmCursor`].
async fn find(target: Target, request: Vec<u8>) -> Outcome {
    let request = Find::read(request)?;
    let find = given!(target.collection().find(request.filter), {
        sort: request.sort,
        projection: request.projection,
        limit: request.limit,
        skip: request.skip,
        batch_size: request.batch_size,
        read_preference: request.read_preference,
    });
    Ok(WasmCursor::new(find.await.map_err(failed)?).into())
}

/// The first match's bytes, or `undefined`.
async fn find_one(target: Target, request: Vec<u8>) -> Outcome {
    let request = Find::read(request)?;
    let find = given!(target.collection().find_one(request.filter), {
        sort: request.sort,
        projection: request.projection,
        skip: request.skip,
        read_preference: request.read_preference,
    });
    found(find.raw().await)
}

/// Inserts the document that the request is; `{insertedId}`.
async fn insert_one(target: Target, request: Vec<u8>) -> Outcome {
    let inserted = target.collection().insert_raw(vec![document(request)?]).raw().await;
    inserted.map(reply::inserted_one).map_err(failed)
}

/// Inserts `documents`; `{insertedIds}` in their order.
async fn insert_many(target: Target, request: Vec<u8>) -> Outcome {
    let documents = Request::new(request)?.raws("documents")?;
    let inserted = target.collection().insert_raw(documents).raw().await;
    inserted.map(reply::inserted_many).map_err(failed)
}

/// How many documents match.
async fn count_documents(target: Target, request: Vec<u8>) -> Outcome {
    let request = Find::read(request)?;
    let count = given!(target.collection().count_documents(request.filter), {
        limit: request.limit.map(i64::unsigned_abs),
        skip: request.skip,
        read_preference: request.read_preference,
    });
    count.await.map(number).map_err(failed)
}

/// How many documents the collection's metadata says that there are.
async fn estimated_document_count(target: Target) -> Outcome {
    target.collection().estimated_document_count().await.map(number).map_err(failed)
}

/// The values of the field `key`; `{values}`.
async fn distinct(target: Target, request: Vec<u8>) -> Outcome {
    let request = Find::read(request)?;
    let key = request.key.ok_or_else(|| invalid("there is no key"))?;
    let distinct = given!(target.collection().distinct(key, request.filter), {
        read_preference: request.read_preference,
    });
    distinct.raw().await.map(reply::values).map_err(failed)
}

/// Runs a pipeline over the collection, else over the database: a [`WasmCursor`].
async fn aggregate(target: Target, request: Vec<u8>) -> Outcome {
    let request = Pipeline::read(request)?;
    let aggregate = match target.collection {
        Some(_) => target.collection().aggregate(request.stages),
        None => target.database().aggregate(request.stages),
    };
    let aggregate = given!(aggregate.with_type::<()>(), {
        batch_size: request.batch_size,
        allow_disk_use: request.allow_disk_use,
        read_preference: request.read_preference,
    });
    Ok(WasmCursor::new(aggregate.await.map_err(failed)?).into())
}

/// Changes or replaces the first match, or all; `{matchedCount, modifiedCount, upsertedId}`.
async fn update(target: Target, request: Vec<u8>) -> Outcome {
    let Modify { filter, change, many, upsert, array_filters, .. } = Modify::read(request)?;
    let (collection, upsert) = (target.collection(), upsert.unwrap_or_default());
    let updating = match (change, many) {
        (None, _) => return Err(invalid("there is no update")),
        (Some(Change::Replacement(document)), _) => {
            collection.replace_raw(filter, document).upsert(upsert).raw().boxed_local()
        }
        (Some(Change::Update(update)), false) => {
            let action = collection.update_one(filter, update).upsert(upsert);
            given!(action, { array_filters: array_filters }).raw().boxed_local()
        }
        (Some(Change::Update(update)), true) => {
            let action = collection.update_many(filter, update).upsert(upsert);
            given!(action, { array_filters: array_filters }).raw().boxed_local()
        }
    };
    updating.await.map(reply::updated).map_err(failed)
}

/// Deletes the first match, or all; `{deletedCount}`.
async fn delete(target: Target, request: Vec<u8>) -> Outcome {
    let Modify { filter, many, .. } = Modify::read(request)?;
    let deleting = match many {
        false => target.collection().delete_one(filter).into_future(),
        true => target.collection().delete_many(filter).into_future(),
    };
    deleting.await.map(|deleted| reply::deleted(&deleted)).map_err(failed)
}

/// Changes, replaces or deletes the first match, and gives it: its bytes, or `undefined`.
async fn find_one_and_modify(target: Target, request: Vec<u8>) -> Outcome {
    let request = Modify::read(request)?;
    found(modified(&target.collection(), request).await)
}

fn modified(
    collection: &Collection<()>,
    request: Modify,
) -> LocalBoxFuture<'static, Result<Option<RawDocumentBuf>, Error>> {
    let Modify { filter, change, upsert, sort, projection, after, array_filters, .. } = request;
    let upsert = upsert.unwrap_or_default();
    let which = if after { ReturnDocument::After } else { ReturnDocument::Before };
    match change {
        None => Box::pin(
            given!(collection.find_one_and_delete(filter), { sort: sort, projection: projection })
                .raw(),
        ),
        Some(Change::Replacement(document)) => {
            let action = collection.find_one_and_replace_raw(filter, document);
            let action = given!(action, { sort: sort, projection: projection });
            Box::pin(action.upsert(upsert).return_document(which).raw())
        }
        Some(Change::Update(update)) => {
            let action = given!(collection.find_one_and_update(filter, update), {
                sort: sort,
                projection: projection,
                array_filters: array_filters,
            });
            Box::pin(action.upsert(upsert).return_document(which).raw())
        }
    }
}

fn failed(error: Error) -> JsValue {
    from_portolan(&error)
}

fn found(found: Result<Option<RawDocumentBuf>, Error>) -> Outcome {
    Ok(found.map_err(failed)?.map_or(JsValue::UNDEFINED, |found| bytes(&found)))
}

/// A count beyond 2^53 is not to be met; JavaScript has no exact number for it.
fn number(count: u64) -> JsValue {
    JsValue::from_f64(count as f64)
}
