//! The operations of entities, by the driver's own API.
//!
//! [`BUILT`] is what there is: an operation or an argument that is not in it sets a test apart.

use std::time::Duration;

use bson::{Bson, Document};
use futures_util::TryStreamExt;
use portolan::engine::op::Hint;
use portolan::options::DriverInfo;
use portolan::{Collection, Error, Find, UpdateModifications};

use crate::cursors::{self, cursor_type, timeout_mode};
use crate::schema::Operation;
use crate::world::{Item, World, number, read_preference};

/// The operations of entities, with their arguments.
pub(crate) const BUILT: &[(&str, &[&str])] = &[
    ("close", &["timeoutMS"]),
    ("iterateUntilDocumentOrError", &[]),
    ("iterateOnce", &[]),
    ("appendMetadata", &["driverInfoOptions"]),
    ("runCommand", &["command", "commandName", "readPreference", "timeoutMS"]),
    ("find", FIND),
    ("createFindCursor", FIND),
    (
        "findOne",
        &[
            "filter",
            "sort",
            "skip",
            "projection",
            "hint",
            "comment",
            "collation",
            "maxTimeMS",
            "timeoutMS",
        ],
    ),
    (
        "countDocuments",
        &["filter", "limit", "skip", "hint", "comment", "collation", "maxTimeMS", "timeoutMS"],
    ),
    ("insertOne", &["document", "bypassDocumentValidation", "comment", "timeoutMS"]),
    ("insertMany", &["documents", "ordered", "bypassDocumentValidation", "comment", "timeoutMS"]),
    (
        "updateOne",
        &[
            "filter",
            "update",
            "upsert",
            "arrayFilters",
            "bypassDocumentValidation",
            "hint",
            "comment",
            "let",
            "collation",
            "timeoutMS",
        ],
    ),
    ("deleteOne", &["filter", "hint", "comment", "let", "collation", "timeoutMS"]),
];

const FIND: &[&str] = &[
    "filter",
    "sort",
    "limit",
    "skip",
    "projection",
    "batchSize",
    "hint",
    "comment",
    "collation",
    "let",
    "maxTimeMS",
    "allowDiskUse",
    "cursorType",
    "maxAwaitTimeMS",
    "timeoutMS",
    "timeoutMode",
];

/// What an operation gave.
pub(crate) enum Output {
    /// Nothing, or one value.
    Value(Option<Bson>),
    /// Documents of a cursor: each is at the root.
    Documents(Vec<Document>),
    /// Something that later operations work on.
    Entity(Item),
}

/// What came of an operation: its output or error, or why it could not be run at all.
pub(crate) type Outcome = Result<Result<Output, Error>, String>;

/// Sets those options of a builder that are among the arguments.
macro_rules! options {
    ($builder:ident, $arguments:ident, { $($name:literal => $method:ident($read:expr),)* }) => {
        for (name, value) in $arguments {
            match name.as_str() {
                $($name => $builder = $builder.$method($read(value)?),)*
                _ => {}
            }
        }
    };
}

pub(crate) async fn run(world: &World, operation: &Operation) -> Outcome {
    let (name, arguments) = (operation.name.as_str(), &operation.arguments);
    match (world.item(&operation.object)?, name) {
        (Item::Client(client), "close") => {
            client.client.shutdown().await;
            Ok(Ok(Output::Value(None)))
        }
        (Item::Client(client), "appendMetadata") => {
            let options = required(arguments, "driverInfoOptions")?.clone();
            let library = bson::deserialize_from_bson::<DriverInfo>(options);
            let library = library.map_err(|error| format!("driverInfoOptions: {error}"))?;
            Ok(client.client.append_metadata(&library).map(|()| Output::Value(None)))
        }
        (Item::Database(database), "runCommand") => {
            let command = document(required(arguments, "command")?)?;
            let mut run = database.run_command(command);
            if let Some(preference) = arguments.get("readPreference") {
                run = run.read_preference(read_preference(&document(preference)?)?);
            }
            if let Some(timeout) = arguments.get("timeoutMS") {
                run = run.timeout(millis(timeout)?);
            }
            Ok(run.await.map(|reply| Output::Value(Some(Bson::Document(reply)))))
        }
        (Item::Cursor(cursor), name) => cursors::run(&cursor, name, arguments).await,
        (Item::Collection(collection), "createFindCursor") => {
            cursors::create_find(&collection, arguments).await
        }
        (Item::Collection(collection), "find") => find(&collection, arguments).await,
        (Item::Collection(collection), "findOne") => find_one(&collection, arguments).await,
        (Item::Collection(collection), "countDocuments") => count(&collection, arguments).await,
        (Item::Collection(collection), "insertOne") => insert_one(&collection, arguments).await,
        (Item::Collection(collection), "insertMany") => insert_many(&collection, arguments).await,
        (Item::Collection(collection), "updateOne") => update_one(&collection, arguments).await,
        (Item::Collection(collection), "deleteOne") => delete_one(&collection, arguments).await,
        _ => Err(format!("{} has no operation {name}", operation.object)),
    }
}

async fn find(on: &Collection<Document>, arguments: &Document) -> Outcome {
    let found = match find_cursor(on, arguments)?.await {
        Ok(cursor) => cursor.try_collect().await,
        Err(error) => Err(error),
    };
    Ok(found.map(Output::Documents))
}

pub(crate) fn find_cursor(
    on: &Collection<Document>,
    arguments: &Document,
) -> Result<Find<Document>, String> {
    let mut find = on.find(filter(arguments)?);
    options!(find, arguments, {
        "sort" => sort(document),
        "limit" => limit(signed),
        "skip" => skip(number),
        "projection" => projection(document),
        "batchSize" => batch_size(size),
        "hint" => hint(hint),
        "comment" => comment(any),
        "collation" => collation(document),
        "let" => let_vars(document),
        "maxTimeMS" => max_time(millis),
        "allowDiskUse" => allow_disk_use(truth),
        "cursorType" => cursor_type(cursor_type),
        "maxAwaitTimeMS" => max_await_time(millis),
        "timeoutMS" => timeout(millis),
        "timeoutMode" => timeout_mode(timeout_mode),
    });
    Ok(find)
}

async fn find_one(on: &Collection<Document>, arguments: &Document) -> Outcome {
    let mut find = on.find_one(filter(arguments)?);
    options!(find, arguments, {
        "sort" => sort(document),
        "skip" => skip(number),
        "projection" => projection(document),
        "hint" => hint(hint),
        "comment" => comment(any),
        "collation" => collation(document),
        "maxTimeMS" => max_time(millis),
        "timeoutMS" => timeout(millis),
    });
    let value = |found: Option<Document>| Some(found.map_or(Bson::Null, Bson::Document));
    Ok(find.await.map(|found| Output::Value(value(found))))
}

async fn count(on: &Collection<Document>, arguments: &Document) -> Outcome {
    let mut count = on.count_documents(filter(arguments)?);
    options!(count, arguments, {
        "limit" => limit(number),
        "skip" => skip(number),
        "hint" => hint(hint),
        "comment" => comment(any),
        "collation" => collation(document),
        "maxTimeMS" => max_time(millis),
        "timeoutMS" => timeout(millis),
    });
    Ok(count.await.map(|count| Output::Value(Some(integer(count)))))
}

async fn insert_one(on: &Collection<Document>, arguments: &Document) -> Outcome {
    let mut insert = on.insert_one(document(required(arguments, "document")?)?);
    options!(insert, arguments, {
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "comment" => comment(any),
        "timeoutMS" => timeout(millis),
    });
    Ok(insert.await.map(|result| {
        Output::Value(Some(Bson::Document(bson::doc! { "insertedId": result.inserted_id })))
    }))
}

async fn insert_many(on: &Collection<Document>, arguments: &Document) -> Outcome {
    let documents = documents(required(arguments, "documents")?)?;
    let mut insert = on.insert_many(documents);
    options!(insert, arguments, {
        "ordered" => ordered(truth),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "comment" => comment(any),
        "timeoutMS" => timeout(millis),
    });
    Ok(insert.await.map(|result| {
        let ids = result.inserted_ids.into_iter().map(|(index, id)| (index.to_string(), id));
        let ids: Document = ids.collect();
        Output::Value(Some(Bson::Document(bson::doc! { "insertedIds": ids })))
    }))
}

async fn update_one(on: &Collection<Document>, arguments: &Document) -> Outcome {
    let update = match required(arguments, "update")? {
        Bson::Array(_) => UpdateModifications::from(documents(&arguments["update"])?),
        other => UpdateModifications::from(document(other)?),
    };
    let mut operation = on.update_one(filter(arguments)?, update);
    options!(operation, arguments, {
        "upsert" => upsert(truth),
        "arrayFilters" => array_filters(documents),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "timeoutMS" => timeout(millis),
    });
    Ok(operation.await.map(|result| {
        let upserted = u64::from(result.upserted_id.is_some());
        let mut output = bson::doc! {
            "matchedCount": integer(result.matched_count),
            "modifiedCount": integer(result.modified_count),
            "upsertedCount": integer(upserted),
        };
        output.extend(result.upserted_id.map(|id| ("upsertedId".to_owned(), id)));
        Output::Value(Some(Bson::Document(output)))
    }))
}

async fn delete_one(on: &Collection<Document>, arguments: &Document) -> Outcome {
    let mut delete = on.delete_one(filter(arguments)?);
    options!(delete, arguments, {
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "timeoutMS" => timeout(millis),
    });
    Ok(delete.await.map(|result| {
        let count = integer(result.deleted_count);
        Output::Value(Some(Bson::Document(bson::doc! { "deletedCount": count })))
    }))
}

fn filter(arguments: &Document) -> Result<Document, String> {
    document(required(arguments, "filter")?)
}

/// An argument that an operation cannot do without.
pub(crate) fn required<'a>(arguments: &'a Document, name: &str) -> Result<&'a Bson, String> {
    arguments.get(name).ok_or_else(|| format!("argument {name} is missing"))
}

fn document(value: &Bson) -> Result<Document, String> {
    value.as_document().cloned().ok_or_else(|| format!("{value} is no document"))
}

fn documents(value: &Bson) -> Result<Vec<Document>, String> {
    let list = value.as_array().ok_or_else(|| format!("{value} is no array"))?;
    list.iter().map(document).collect()
}

fn hint(value: &Bson) -> Result<Hint, String> {
    match value {
        Bson::String(name) => Ok(Hint::Name(name.clone())),
        keys => document(keys).map(Hint::Keys),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as the others, for the macro")]
fn any(value: &Bson) -> Result<Bson, String> {
    Ok(value.clone())
}

fn truth(value: &Bson) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("{value} is no boolean"))
}

fn signed(value: &Bson) -> Result<i64, String> {
    match value {
        Bson::Int32(value) => Ok(i64::from(*value)),
        Bson::Int64(value) => Ok(*value),
        other => Err(format!("{other} is no integer")),
    }
}

fn size(value: &Bson) -> Result<u32, String> {
    u32::try_from(number(value)?).map_err(|error| error.to_string())
}

pub(crate) fn millis(value: &Bson) -> Result<Duration, String> {
    number(value).map(Duration::from_millis)
}

fn integer(value: u64) -> Bson {
    Bson::Int64(i64::try_from(value).unwrap_or(i64::MAX))
}
