//! The operations, by name: what each wants as a BSON document, and what it gives.

use bson::RawDocumentBuf;
use futures_util::future::{FutureExt as _, LocalBoxFuture, ready};
use portolan::{Client, Collection, Cursor, Database, Error, ReturnDocument};
use wasm_bindgen::JsValue;

use crate::cursor::WasmCursor;
use crate::failure::{from_portolan, invalid};
use crate::promise::Work;
use crate::reply::{self, bytes};
use crate::request::{Change, Find, Modify, Pipeline, Request, document};

/// An operation, or what is wrong with its arguments.
type Begun = Result<Work, JsValue>;

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
    let begun = match name {
        "aggregate" => aggregate(target, request),
        "countDocuments" => count_documents(target, request),
        "delete" => delete(target, request),
        "distinct" => distinct(target, request),
        "estimatedDocumentCount" => Ok(estimated_document_count(target)),
        "find" => find(target, request),
        "findOne" => find_one(target, request),
        "findOneAndModify" => find_one_and_modify(target, request),
        "insertMany" => insert_many(target, request),
        "insertOne" => insert_one(target, request),
        "ping" => ping(target, request),
        "runCommand" => run_command(target, request),
        "update" => update(target, request),
        unknown => Err(invalid(format!("there is no operation {unknown}"))),
    };
    begun.unwrap_or_else(|error| ready(Err(error)).boxed_local())
}

/// What `work` gives, as JavaScript gets it.
fn giving<T: 'static>(
    work: impl Future<Output = Result<T, Error>> + 'static,
    given: impl FnOnce(T) -> JsValue + 'static,
) -> Work {
    work.map(|outcome| outcome.map(given).map_err(|error| from_portolan(&error))).boxed_local()
}

/// Pings a server; JSON text of address, type and duration.
fn ping(target: Target, request: Vec<u8>) -> Begun {
    let preference = Request::new(request)?.preference()?.unwrap_or_default();
    let client = target.client;
    let ping = async move { client.ping(preference).await };
    Ok(giving(ping, |ping| reply::pong(&ping).into()))
}

/// Runs a command; the reply's bytes.
fn run_command(target: Target, request: Vec<u8>) -> Begun {
    let request = Request::new(request)?;
    let (command, preference) = (request.raw("command")?, request.preference()?);
    let command = target.database().run_command(command);
    let command = command.read_preference(preference.unwrap_or_default());
    Ok(giving(command.raw().into_future(), |reply| bytes(&reply)))
}

/// Opens a cursor: a [`WasmCursor`].
fn find(target: Target, request: Vec<u8>) -> Begun {
    let request = Find::read(request)?;
    let find = given!(target.collection().find(request.filter), {
        sort: request.sort,
        projection: request.projection,
        limit: request.limit,
        skip: request.skip,
        batch_size: request.batch_size,
        read_preference: request.read_preference,
    });
    Ok(giving(find.into_future(), cursor))
}

/// The first match's bytes, or `undefined`.
fn find_one(target: Target, request: Vec<u8>) -> Begun {
    let request = Find::read(request)?;
    let find = given!(target.collection().find_one(request.filter), {
        sort: request.sort,
        projection: request.projection,
        skip: request.skip,
        read_preference: request.read_preference,
    });
    Ok(giving(find.raw(), found))
}

/// Inserts the document that the request is; `{insertedId}`.
fn insert_one(target: Target, request: Vec<u8>) -> Begun {
    let insert = target.collection().insert_raw(vec![document(request)?]);
    Ok(giving(insert.raw(), reply::inserted_one))
}

/// Inserts `documents`; `{insertedIds}` in their order.
fn insert_many(target: Target, request: Vec<u8>) -> Begun {
    let documents = Request::new(request)?.raws("documents")?;
    Ok(giving(target.collection().insert_raw(documents).raw(), reply::inserted_many))
}

/// How many documents match.
fn count_documents(target: Target, request: Vec<u8>) -> Begun {
    let request = Find::read(request)?;
    let count = given!(target.collection().count_documents(request.filter), {
        limit: request.limit.map(i64::unsigned_abs),
        skip: request.skip,
        read_preference: request.read_preference,
    });
    Ok(giving(count.into_future(), number))
}

/// How many documents the collection's metadata says that there are.
fn estimated_document_count(target: Target) -> Work {
    giving(target.collection().estimated_document_count().into_future(), number)
}

/// The values of the field `key`; `{values}`.
fn distinct(target: Target, request: Vec<u8>) -> Begun {
    let request = Find::read(request)?;
    let key = request.key.ok_or_else(|| invalid("there is no key"))?;
    let distinct = given!(target.collection().distinct(key, request.filter), {
        read_preference: request.read_preference,
    });
    Ok(giving(distinct.raw(), reply::values))
}

/// Runs a pipeline over the collection, else over the database: a [`WasmCursor`].
fn aggregate(target: Target, request: Vec<u8>) -> Begun {
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
    Ok(giving(aggregate.into_future(), cursor))
}

/// Changes or replaces the first match, or all; `{matchedCount, modifiedCount, upsertedId}`.
fn update(target: Target, request: Vec<u8>) -> Begun {
    let Modify { filter, change, many, upsert, array_filters, .. } = Modify::read(request)?;
    let (collection, upsert) = (target.collection(), upsert.unwrap_or_default());
    Ok(match (change, many) {
        (None, _) => return Err(invalid("there is no update")),
        (Some(Change::Replacement(document)), _) => {
            let replace = collection.replace_raw(filter, document).upsert(upsert);
            giving(replace.raw(), reply::updated)
        }
        (Some(Change::Update(update)), false) => {
            let update = collection.update_one(filter, update).upsert(upsert);
            giving(given!(update, { array_filters: array_filters }).raw(), reply::updated)
        }
        (Some(Change::Update(update)), true) => {
            let update = collection.update_many(filter, update).upsert(upsert);
            giving(given!(update, { array_filters: array_filters }).raw(), reply::updated)
        }
    })
}

/// Deletes the first match, or all; `{deletedCount}`.
fn delete(target: Target, request: Vec<u8>) -> Begun {
    let Modify { filter, many, .. } = Modify::read(request)?;
    let deleting = match many {
        false => target.collection().delete_one(filter).into_future(),
        true => target.collection().delete_many(filter).into_future(),
    };
    Ok(giving(deleting, |deleted| reply::deleted(&deleted)))
}

/// Changes, replaces or deletes the first match, and gives it: its bytes, or `undefined`.
fn find_one_and_modify(target: Target, request: Vec<u8>) -> Begun {
    let request = Modify::read(request)?;
    Ok(giving(modified(&target.collection(), request), found))
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

fn cursor(cursor: Cursor<()>) -> JsValue {
    WasmCursor::new(cursor).into()
}

fn found(found: Option<RawDocumentBuf>) -> JsValue {
    found.map_or(JsValue::UNDEFINED, |found| bytes(&found))
}

/// A count beyond 2^53 is not to be met; JavaScript has no exact number for it.
fn number(count: u64) -> JsValue {
    JsValue::from_f64(count as f64)
}
