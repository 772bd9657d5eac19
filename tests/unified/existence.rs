//! Whether collections and indexes are there, asked of the server itself (`assertCollectionExists`
//! and its like).

use bson::{Bson, Document, doc};

use crate::deployment::Deployment;
use crate::operations::required;

pub(crate) fn assert_collection(
    deployment: &Deployment,
    arguments: &Document,
    wanted: bool,
) -> Result<(), String> {
    let name = text(arguments, "collectionName")?;
    let command = doc! { "listCollections": 1, "filter": { "name": name }, "nameOnly": true };
    let found = !listed(deployment, arguments, command)?.is_empty();
    agree(&format!("collection {name}"), wanted, found)
}

pub(crate) fn assert_index(
    deployment: &Deployment,
    arguments: &Document,
    wanted: bool,
) -> Result<(), String> {
    let (collection, name) = (text(arguments, "collectionName")?, text(arguments, "indexName")?);
    let indexes = match listed(deployment, arguments, doc! { "listIndexes": collection }) {
        Err(problem) if !problem.contains("ns does not exist") => return Err(problem),
        // Where there is no collection there is no index.
        indexes => indexes.unwrap_or_default(),
    };
    let found = indexes.iter().any(|index| index.get_str("name").is_ok_and(|it| it == name));
    agree(&format!("index {name}"), wanted, found)
}

fn agree(what: &str, wanted: bool, found: bool) -> Result<(), String> {
    match (wanted, found) {
        (true, false) => Err(format!("{what} does not exist")),
        (false, true) => Err(format!("{what} exists")),
        _ => Ok(()),
    }
}

fn listed(
    deployment: &Deployment,
    arguments: &Document,
    mut command: Document,
) -> Result<Vec<Document>, String> {
    command.insert("$db", text(arguments, "databaseName")?);
    let reply = deployment.ask(&command)?;
    let cursor = reply.get_document("cursor").map_err(|error| error.to_string())?;
    let batch = cursor.get_array("firstBatch").map_err(|error| error.to_string())?;
    Ok(batch.iter().filter_map(Bson::as_document).cloned().collect())
}

fn text<'a>(arguments: &'a Document, name: &str) -> Result<&'a str, String> {
    required(arguments, name)?.as_str().ok_or_else(|| format!("argument {name} is no text"))
}
