//! The operations of entities, by the driver's own API.
//!
//! [`BUILT`] is what there is: an operation or an argument that is not in it sets a test apart.

mod arguments;
mod built;
mod commands;
mod define;
mod modify;
mod read;
mod sessions;
mod write;

use std::ops::Deref;
use std::sync::Arc;

use bson::{Bson, Document};
use portolan::{ClientSession, Error};

pub(crate) use self::arguments::{millis, required};
pub(crate) use self::built::BUILT;
pub(crate) use self::read::find_cursor;
pub(crate) use self::sessions::{callback, transaction_options};
pub(crate) use self::write::bulk_result;
use crate::cursors;
use crate::schema::Operation;
use crate::world::{Item, World};

/// What an operation gave.
pub(crate) enum Output {
    /// Nothing, or one value.
    Value(Option<Bson>),
    /// Documents of a cursor: each is at the root.
    Documents(Vec<Document>),
    /// Something that later operations work on.
    Entity(Item),
}

impl Output {
    /// A document of a result.
    fn document(document: Document) -> Self {
        Self::Value(Some(Bson::Document(document)))
    }
}

/// What came of an operation: its output or error, or why it could not be run at all.
pub(crate) type Outcome = Result<Result<Output, Error>, String>;

/// The arguments of an operation, and the session that one of them names.
pub(crate) struct Arguments {
    document: Document,
    session: Option<ClientSession>,
}

impl Arguments {
    fn new(world: &World, document: &Document) -> Result<Self, String> {
        let session = document.get("session").map(|name| {
            let name = name.as_str().ok_or("argument session is no name")?;
            world.session(name)
        });
        Ok(Self { document: document.clone(), session: session.transpose()? })
    }
}

impl Deref for Arguments {
    type Target = Document;

    fn deref(&self) -> &Document {
        &self.document
    }
}

/// Sets those options of a builder that are among the arguments.
macro_rules! plain_options {
    ($builder:ident, $arguments:ident, { $($name:literal => $method:ident($read:expr),)* }) => {
        for (name, value) in $arguments.iter() {
            match name.as_str() {
                $($name => $builder = $builder.$method($read(value)?),)*
                _ => {}
            }
        }
    };
}
use plain_options;

/// The same, and the session.
macro_rules! options {
    ($builder:ident, $arguments:ident, $options:tt) => {
        $crate::operations::plain_options!($builder, $arguments, $options);
        if let Some(session) = &$arguments.session {
            $builder = $builder.session(session);
        }
    };
}
use options;

pub(crate) async fn run(world: &Arc<World>, operation: &Operation) -> Outcome {
    let name = operation.name.as_str();
    let arguments = &Arguments::new(world, &operation.arguments)?;
    match world.item(&operation.object)? {
        Item::Client(client) => commands::of_client(&client.client, name, arguments).await,
        Item::Database(database) => commands::of_database(&database, name, arguments).await,
        Item::Cursor(cursor) => cursors::run(&cursor, name, arguments).await,
        Item::Collection(on) => match name {
            "find" => read::find(&on, arguments).await,
            "createFindCursor" => cursors::create_find(&on, arguments).await,
            "findOne" => read::find_one(&on, arguments).await,
            "aggregate" => {
                read::aggregate(on.aggregate(read::pipeline(arguments)?), arguments).await
            }
            "distinct" => read::distinct(&on, arguments).await,
            "countDocuments" => read::count(&on, arguments).await,
            "estimatedDocumentCount" => read::estimated_count(&on, arguments).await,
            "insertOne" => write::insert_one(&on, arguments).await,
            "insertMany" => write::insert_many(&on, arguments).await,
            "updateOne" => write::update_one(&on, arguments).await,
            "updateMany" => write::update_many(&on, arguments).await,
            "replaceOne" => write::replace_one(&on, arguments).await,
            "deleteOne" => write::delete_one(&on, arguments).await,
            "deleteMany" => write::delete_many(&on, arguments).await,
            "bulkWrite" => write::bulk_write(&on, arguments).await,
            "findOneAndDelete" => modify::delete(&on, arguments).await,
            "findOneAndUpdate" => modify::update(&on, arguments).await,
            "findOneAndReplace" => modify::replace(&on, arguments).await,
            "createIndex" => define::create_index(&on, arguments).await,
            "dropIndex" => define::drop_index(&on, arguments).await,
            "dropIndexes" => define::drop_indexes(&on, arguments).await,
            "listIndexes" => define::list_indexes(&on, arguments).await,
            "listIndexNames" => define::list_index_names(&on, arguments).await,
            _ => Err(format!("a collection has no operation {name}")),
        },
        Item::Session(session) => sessions::run(world, &session, name, arguments).await,
        _ => Err(format!("{} has no operation {name}", operation.object)),
    }
}
