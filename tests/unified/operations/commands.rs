//! Operations of clients and databases.

use bson::Bson;
use futures_util::TryStreamExt;
use portolan::options::DriverInfo;
use portolan::{Client, Database, ReadPreference, RunCursorCommand};

use super::arguments::{any, document, millis, required, size, string};
use super::{Arguments, Outcome, Output, define, options, read};
use crate::cursors::{cursor_type, slot, timeout_mode};
use crate::world::read_preference;

pub(super) async fn of_client(client: &Client, name: &str, arguments: &Arguments) -> Outcome {
    match name {
        "close" => {
            client.shutdown().await;
            Ok(Ok(Output::Value(None)))
        }
        "appendMetadata" => {
            let options = required(arguments, "driverInfoOptions")?.clone();
            let library = bson::deserialize_from_bson::<DriverInfo>(options);
            let library = library.map_err(|error| format!("driverInfoOptions: {error}"))?;
            Ok(client.append_metadata(&library).map(|()| Output::Value(None)))
        }
        "listDatabases" => {
            let mut list = client.list_databases();
            options!(list, arguments, {
                "filter" => filter(document),
                "timeoutMS" => timeout(millis),
            });
            Ok(list.await.map(|databases| {
                let named = |it: portolan::DatabaseSpecification| bson::doc! { "name": it.name };
                Output::Documents(databases.into_iter().map(named).collect())
            }))
        }
        "dropDatabase" => {
            let mut drop = client.database(&string(required(arguments, "database")?)?).drop();
            options!(drop, arguments, { "timeoutMS" => timeout(millis), });
            Ok(drop.await.map(|()| Output::Value(None)))
        }
        "listDatabaseNames" => {
            let mut list = client.list_database_names();
            options!(list, arguments, {
                "filter" => filter(document),
                "timeoutMS" => timeout(millis),
            });
            Ok(list.await.map(|names| Output::Value(Some(names.into()))))
        }
        _ => Err(format!("a client has no operation {name}")),
    }
}

pub(super) async fn of_database(on: &Database, name: &str, arguments: &Arguments) -> Outcome {
    match name {
        "runCommand" => {
            let command = document(required(arguments, "command")?)?;
            let mut run = on.run_command(command);
            options!(run, arguments, {
                "readPreference" => read_preference(preference),
                "timeoutMS" => timeout(millis),
            });
            Ok(run.await.map(Output::document))
        }
        "runCursorCommand" => match cursor_command(on, arguments)?.await {
            Ok(cursor) => Ok(cursor.try_collect().await.map(Output::Documents)),
            Err(error) => Ok(Err(error)),
        },
        "createCommandCursor" => {
            let opened = cursor_command(on, arguments)?.await;
            Ok(opened.map(|cursor| Output::Entity(slot(cursor))))
        }
        "aggregate" => read::aggregate(on.aggregate(read::pipeline(arguments)?), arguments).await,
        "listCollections" => define::list_collections(on, arguments).await,
        "listCollectionNames" => define::list_collection_names(on, arguments).await,
        "createCollection" => define::create_collection(on, arguments).await,
        "modifyCollection" => define::modify_collection(on, arguments).await,
        "dropCollection" => define::drop_collection(on, arguments).await,
        _ => Err(format!("a database has no operation {name}")),
    }
}

fn cursor_command(on: &Database, arguments: &Arguments) -> Result<RunCursorCommand, String> {
    let mut run = on.run_cursor_command(document(required(arguments, "command")?)?);
    options!(run, arguments, {
        "readPreference" => read_preference(preference),
        "batchSize" => batch_size(size),
        "maxTimeMS" => max_time(millis),
        "comment" => comment(any),
        "cursorType" => cursor_type(cursor_type),
        "timeoutMS" => timeout(millis),
        "timeoutMode" => timeout_mode(timeout_mode),
    });
    Ok(run)
}

fn preference(value: &Bson) -> Result<ReadPreference, String> {
    read_preference(&document(value)?)
}
