//! Reads of collections, and cursors.

use bson::{Bson, Document};
use futures_util::TryStreamExt;
use portolan::{Aggregate, Collection, Find};

use super::arguments::{
    any, document, documents, filter, hint, integer, millis, required, signed, size, string, truth,
};
use super::{Arguments, Outcome, Output, options, plain_options};
use crate::cursors::{cursor_type, timeout_mode};
use crate::world::number;

pub(super) async fn find(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let found = match find_cursor(on, arguments)?.await {
        Ok(cursor) => cursor.try_collect().await,
        Err(error) => Err(error),
    };
    Ok(found.map(Output::Documents))
}

pub(crate) fn find_cursor(
    on: &Collection<Document>,
    arguments: &Arguments,
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
        "min" => min(document),
        "max" => max(document),
        "returnKey" => return_key(truth),
        "showRecordId" => show_record_id(truth),
        "cursorType" => cursor_type(cursor_type),
        "maxAwaitTimeMS" => max_await_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
        "timeoutMode" => timeout_mode(timeout_mode),
    });
    Ok(find)
}

pub(super) async fn find_one(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut find = on.find_one(filter(arguments)?);
    options!(find, arguments, {
        "sort" => sort(document),
        "skip" => skip(number),
        "projection" => projection(document),
        "hint" => hint(hint),
        "comment" => comment(any),
        "collation" => collation(document),
        "let" => let_vars(document),
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    let value = |found: Option<Document>| Some(found.map_or(Bson::Null, Bson::Document));
    Ok(find.await.map(|found| Output::Value(value(found))))
}

pub(super) fn pipeline(arguments: &Arguments) -> Result<Vec<Document>, String> {
    documents(required(arguments, "pipeline")?)
}

pub(super) async fn aggregate(mut aggregate: Aggregate, arguments: &Arguments) -> Outcome {
    options!(aggregate, arguments, {
        "batchSize" => batch_size(size),
        "hint" => hint(hint),
        "comment" => comment(any),
        "collation" => collation(document),
        "let" => let_vars(document),
        "maxTimeMS" => max_time(millis),
        "allowDiskUse" => allow_disk_use(truth),
        "bypassDocumentValidation" => bypass_document_validation(truth),
        "timeoutMode" => timeout_mode(timeout_mode),
        "maxAwaitTimeMS" => max_await_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    let found = match aggregate.await {
        Ok(cursor) => cursor.try_collect().await,
        Err(error) => Err(error),
    };
    Ok(found.map(Output::Documents))
}

pub(super) async fn distinct(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let field = string(required(arguments, "fieldName")?)?;
    let mut distinct = on.distinct(field, filter(arguments)?);
    options!(distinct, arguments, {
        "hint" => hint(hint),
        "comment" => comment(any),
        "collation" => collation(document),
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(distinct.await.map(|values| Output::Value(Some(Bson::Array(values)))))
}

pub(super) async fn count(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut count = on.count_documents(filter(arguments)?);
    options!(count, arguments, {
        "limit" => limit(number),
        "skip" => skip(number),
        "hint" => hint(hint),
        "comment" => comment(any),
        "collation" => collation(document),
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(count.await.map(|count| Output::Value(Some(integer(count)))))
}

pub(super) async fn estimated_count(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut count = on.estimated_document_count();
    plain_options!(count, arguments, {
        "comment" => comment(any),
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(count.await.map(|count| Output::Value(Some(integer(count)))))
}
