//! findOneAndDelete, findOneAndUpdate and findOneAndReplace.

use bson::{Bson, Document};
use portolan::{Collection, Error};

use super::arguments::{
    any, document, documents, filter, hint, millis, required, return_document, truth, update as how,
};
use super::{Arguments, Outcome, Output, options};

pub(super) async fn delete(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut operation = on.find_one_and_delete(filter(arguments)?);
    options!(operation, arguments, {
        "sort" => sort(document),
        "projection" => projection(document),
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(found(operation.await))
}

pub(super) async fn update(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut operation = on.find_one_and_update(filter(arguments)?, how(arguments)?);
    options!(operation, arguments, {
        "sort" => sort(document),
        "projection" => projection(document),
        "returnDocument" => return_document(return_document),
        "upsert" => upsert(truth),
        "arrayFilters" => array_filters(documents),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(found(operation.await))
}

pub(super) async fn replace(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let replacement = document(required(arguments, "replacement")?)?;
    let mut operation = on.find_one_and_replace(filter(arguments)?, replacement);
    options!(operation, arguments, {
        "sort" => sort(document),
        "projection" => projection(document),
        "returnDocument" => return_document(return_document),
        "upsert" => upsert(truth),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "hint" => hint(hint),
        "comment" => comment(any),
        "let" => let_vars(document),
        "collation" => collation(document),
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(found(operation.await))
}

fn found(outcome: Result<Option<Document>, Error>) -> Result<Output, Error> {
    outcome.map(|found| Output::Value(Some(found.map_or(Bson::Null, Bson::Document))))
}
