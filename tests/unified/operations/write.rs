//! Writes of collections.

use portolan::SortedMap;

use bson::{Bson, Document};
use portolan::{
    BulkWriteResult, Collection, DeleteManyModel, DeleteOneModel, InsertOneModel, ReplaceOneModel,
    UpdateManyModel, UpdateOneModel, UpdateResult, WriteModel,
};

use super::arguments::{
    any, document, documents, filter, hint, integer, millis, required, truth, update,
};
use super::{Arguments, Outcome, Output, options, plain_options};

pub(super) async fn insert_one(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut insert = on.insert_one(document(required(arguments, "document")?)?);
    options!(insert, arguments, {
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "comment" => comment(any),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(insert.await.map(|result| {
        Output::Value(Some(Bson::Document(bson::doc! { "insertedId": result.inserted_id })))
    }))
}

pub(super) async fn insert_many(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut insert = on.insert_many(documents(required(arguments, "documents")?)?);
    options!(insert, arguments, {
        "ordered" => ordered(truth),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "comment" => comment(any),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(insert
        .await
        .map(|result| Output::document(bson::doc! { "insertedIds": ids(result.inserted_ids) })))
}

pub(super) async fn update_one(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut operation = on.update_one(filter(arguments)?, update(arguments)?);
    options!(operation, arguments, {
        "upsert" => upsert(truth),
        "arrayFilters" => array_filters(documents),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "sort" => sort(document),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(operation.await.map(updated))
}

pub(super) async fn update_many(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut operation = on.update_many(filter(arguments)?, update(arguments)?);
    options!(operation, arguments, {
        "upsert" => upsert(truth),
        "arrayFilters" => array_filters(documents),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(operation.await.map(updated))
}

pub(super) async fn replace_one(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let replacement = document(required(arguments, "replacement")?)?;
    let mut operation = on.replace_one(filter(arguments)?, replacement);
    options!(operation, arguments, {
        "upsert" => upsert(truth),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "sort" => sort(document),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(operation.await.map(updated))
}

fn updated(result: UpdateResult) -> Output {
    let upserted = u64::from(result.upserted_id.is_some());
    let mut output = bson::doc! {
        "matchedCount": integer(result.matched_count),
        "modifiedCount": integer(result.modified_count),
        "upsertedCount": integer(upserted),
    };
    output.extend(result.upserted_id.map(|id| ("upsertedId".to_owned(), id)));
    Output::document(output)
}

pub(super) async fn delete_one(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut delete = on.delete_one(filter(arguments)?);
    options!(delete, arguments, {
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(delete.await.map(|result| deleted(result.deleted_count)))
}

pub(super) async fn delete_many(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut delete = on.delete_many(filter(arguments)?);
    options!(delete, arguments, {
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(delete.await.map(|result| deleted(result.deleted_count)))
}

fn deleted(count: u64) -> Output {
    Output::document(bson::doc! { "deletedCount": integer(count) })
}

pub(super) async fn bulk_write(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let requests = documents(required(arguments, "requests")?)?;
    let models = requests.iter().map(model).collect::<Result<Vec<_>, String>>()?;
    let mut bulk = on.bulk_write(models);
    options!(bulk, arguments, {
        "ordered" => ordered(truth),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "comment" => comment(any),
        "let" => let_vars(document),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(bulk.await.map(|result| Output::document(bulk_result(&result))))
}

/// "BulkWriteResult" of the format.
pub(crate) fn bulk_result(result: &BulkWriteResult) -> Document {
    bson::doc! {
        "insertedCount": integer(result.inserted_count),
        "insertedIds": ids(result.inserted_ids.clone()),
        "matchedCount": integer(result.matched_count),
        "modifiedCount": integer(result.modified_count),
        "deletedCount": integer(result.deleted_count),
        "upsertedCount": integer(result.upserted_count),
        "upsertedIds": ids(result.upserted_ids.clone()),
    }
}

fn ids(ids: SortedMap<usize, Bson>) -> Document {
    ids.into_iter().map(|(index, id)| (index.to_string(), id)).collect()
}

/// The one field of a request is its kind. An argument that a model does not have is an error.
fn model(request: &Document) -> Result<WriteModel, String> {
    let (kind, arguments) = request.iter().next().ok_or("a request is empty")?;
    let arguments = &document(arguments)?;
    let known = known(kind)?;
    if let Some(other) = arguments.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("{kind} has no argument {other}"));
    }
    Ok(match kind.as_str() {
        "insertOne" => InsertOneModel::new(document(required(arguments, "document")?)?).into(),
        "updateOne" => {
            let mut model = UpdateOneModel::new(filter(arguments)?, update(arguments)?);
            plain_options!(model, arguments, {
                "upsert" => upsert(truth),
                "arrayFilters" => array_filters(documents),
                "hint" => hint(hint),
                "collation" => collation(document),
                "sort" => sort(document),
            });
            model.into()
        }
        "updateMany" => {
            let mut model = UpdateManyModel::new(filter(arguments)?, update(arguments)?);
            plain_options!(model, arguments, {
                "upsert" => upsert(truth),
                "arrayFilters" => array_filters(documents),
                "hint" => hint(hint),
                "collation" => collation(document),
            });
            model.into()
        }
        "replaceOne" => {
            let replacement = document(required(arguments, "replacement")?)?;
            let mut model = ReplaceOneModel::new(filter(arguments)?, replacement);
            plain_options!(model, arguments, {
                "upsert" => upsert(truth),
                "hint" => hint(hint),
                "collation" => collation(document),
                "sort" => sort(document),
            });
            model.into()
        }
        "deleteOne" => {
            let mut model = DeleteOneModel::new(filter(arguments)?);
            plain_options!(model, arguments, {
                "hint" => hint(hint),
                "collation" => collation(document),
            });
            model.into()
        }
        _ => {
            let mut model = DeleteManyModel::new(filter(arguments)?);
            plain_options!(model, arguments, {
                "hint" => hint(hint),
                "collation" => collation(document),
            });
            model.into()
        }
    })
}

fn known(kind: &str) -> Result<&'static [&'static str], String> {
    Ok(match kind {
        "insertOne" => &["document"],
        "updateOne" => &["filter", "update", "upsert", "arrayFilters", "hint", "collation", "sort"],
        "updateMany" => &["filter", "update", "upsert", "arrayFilters", "hint", "collation"],
        "replaceOne" => &["filter", "replacement", "upsert", "hint", "collation", "sort"],
        "deleteOne" | "deleteMany" => &["filter", "hint", "collation"],
        _ => return Err(format!("bulkWrite has no request {kind}")),
    })
}
