//! Collections and indexes: what there is, and changes of that.

use bson::{Bson, Document};
use futures_util::TryStreamExt;
use portolan::{Collection, CollectionSpecification, Database, IndexModel};

use super::arguments::{document, documents, millis, required, signed, size, string, truth};
use super::{Arguments, Outcome, Output, options, plain_options};
use crate::cursors::timeout_mode;
use crate::world::Item;

fn collection(arguments: &Arguments) -> Result<String, String> {
    string(required(arguments, "collection")?)
}

pub(super) async fn create_collection(on: &Database, arguments: &Arguments) -> Outcome {
    let mut create = on.create_collection(collection(arguments)?);
    options!(create, arguments, {
        "viewOn" => view_on(string),
        "pipeline" => pipeline(documents),
        "changeStreamPreAndPostImages" => change_stream_pre_and_post_images(document),
        "expireAfterSeconds" => expire_after_seconds(signed),
        "timeseries" => timeseries(document),
        "clusteredIndex" => clustered_index(document),
        "capped" => capped(truth),
        "size" => size(signed),
        "max" => max(signed),
        "timeoutMS" => timeout(millis),
    });
    let made = on.collection(&collection(arguments)?);
    Ok(create.await.map(|()| Output::Entity(Item::Collection(made))))
}

pub(super) async fn modify_collection(on: &Database, arguments: &Arguments) -> Outcome {
    let mut modify = on.modify_collection(collection(arguments)?);
    options!(modify, arguments, {
        "validator" => validator(document),
        "timeoutMS" => timeout(millis),
        "index" => index(document),
        "changeStreamPreAndPostImages" => change_stream_pre_and_post_images(document),
    });
    Ok(modify.await.map(|()| Output::Value(None)))
}

pub(super) async fn drop_collection(on: &Database, arguments: &Arguments) -> Outcome {
    let mut drop = on.collection::<Document>(&collection(arguments)?).drop();
    options!(drop, arguments, { "timeoutMS" => timeout(millis), });
    Ok(drop.await.map(|()| Output::Value(None)))
}

pub(super) async fn list_collections(on: &Database, arguments: &Arguments) -> Outcome {
    let mut list = on.list_collections();
    options!(list, arguments, {
        "filter" => filter(document),
        "batchSize" => batch_size(size),
        "timeoutMode" => timeout_mode(timeout_mode),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    let found: Result<Vec<CollectionSpecification>, _> = match list.await {
        Ok(cursor) => cursor.try_collect().await,
        Err(error) => Err(error),
    };
    let named = |it: CollectionSpecification| {
        bson::doc! { "name": it.name, "type": it.collection_type, "options": it.options }
    };
    Ok(found.map(|found| Output::Documents(found.into_iter().map(named).collect())))
}

pub(super) async fn list_collection_names(on: &Database, arguments: &Arguments) -> Outcome {
    let mut list = on.list_collection_names();
    options!(list, arguments, {
        "filter" => filter(document),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(list.await.map(|names| Output::Value(Some(names.into()))))
}

pub(super) async fn create_index(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut index = IndexModel::new(document(required(arguments, "keys")?)?);
    plain_options!(index, arguments, {
        "name" => name(string),
        "unique" => unique(truth),
    });
    let mut create = on.create_index(index);
    options!(create, arguments, {
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(create.await.map(|result| Output::Value(Some(Bson::String(result.index_name)))))
}

pub(super) async fn drop_index(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut operation = on.drop_index(string(required(arguments, "name")?)?);
    options!(operation, arguments, {
        "maxTimeMS" => max_time(millis),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(operation.await.map(|()| Output::Value(None)))
}

pub(super) async fn drop_indexes(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut operation = on.drop_indexes();
    options!(operation, arguments, {
        "maxTimeMS" => max_time(millis),
        "timeoutMS" => timeout(millis),
    });
    Ok(operation.await.map(|()| Output::Value(None)))
}

pub(super) async fn list_indexes(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut list = on.list_indexes();
    options!(list, arguments, {
        "batchSize" => batch_size(size),
        "timeoutMode" => timeout_mode(timeout_mode),
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    let found: Result<Vec<IndexModel>, _> = match list.await {
        Ok(cursor) => cursor.try_collect().await,
        Err(error) => Err(error),
    };
    let shown = |index: IndexModel| {
        let mut shown = bson::doc! { "key": index.keys };
        shown.extend(index.options);
        shown
    };
    Ok(found.map(|found| Output::Documents(found.into_iter().map(shown).collect())))
}

pub(super) async fn list_index_names(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    let mut list = on.list_index_names();
    options!(list, arguments, {
        "rawData" => raw_data(truth),
        "timeoutMS" => timeout(millis),
    });
    Ok(list.await.map(|names| Output::Value(Some(names.into()))))
}
