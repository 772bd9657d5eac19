//! `listDatabases`, `listCollections` and `listIndexes`: what there is (specifications
//! enumerate-databases, enumerate-collections, index-management "Enumerating Indexes").

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::{
    BuildError, CommandBuilder, CommandContext, CursorReply, DocumentArgument, Operation,
    OperationKind, ReplyFailure, Retryability, ValueArgument, reply,
};

/// The databases of a deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListDatabases {
    /// Which databases; none: all.
    pub filter: Option<DocumentArgument>,
    /// Whether only names are given: the server need not look at the databases.
    pub name_only: Option<bool>,
    /// Whether only databases are given that the user may see.
    pub authorized_databases: Option<bool>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
}

/// The collections of a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListCollections {
    /// Which collections; none: all.
    pub filter: Option<DocumentArgument>,
    /// Whether only names and types are given: the server locks nothing for it.
    pub name_only: Option<bool>,
    /// Whether only collections are given that the user may see; with `name_only`.
    pub authorized_collections: Option<bool>,
    /// Documents of one batch.
    pub batch_size: Option<u32>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// Whether time series are shown as they are stored (`rawData`).
    pub raw_data: Option<bool>,
}

/// The indexes of a collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListIndexes {
    /// The collection.
    pub collection: String,
    /// Documents of one batch.
    pub batch_size: Option<u32>,
    /// Appears in the server's log and profile.
    pub comment: Option<ValueArgument>,
    /// Whether time series are shown as they are stored (`rawData`).
    pub raw_data: Option<bool>,
}

impl ListCollections {
    /// Asks for names only, where that can be: "`nameOnly` is applied before any filter is
    /// applied", so that a filter of anything else would find nothing.
    #[must_use]
    pub fn names(mut self) -> Self {
        // One that is no BSON is never sent.
        let filter = self.filter.as_ref().and_then(|filter| filter.get().ok());
        let by_name = filter.is_none_or(|filter| {
            filter.iter_elements().flatten().all(|element| element.key().as_str() == "name")
        });
        self.name_only = by_name.then_some(true);
        self
    }
}

/// `cursor`, which the server wants.
fn cursor(batch_size: Option<u32>) -> RawDocumentBuf {
    let mut cursor = RawDocumentBuf::new();
    if let Some(size) = batch_size {
        cursor.append(cstr!("batchSize"), i64::from(size));
    }
    cursor
}

impl Operation for ListDatabases {
    /// One document each.
    type Output = Vec<RawDocumentBuf>;

    fn name(&self) -> &str {
        "listDatabases"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Read
    }

    fn retryability(&self) -> Retryability {
        Retryability::Read
    }

    fn build<'a>(
        &'a self,
        _: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("listDatabases"), 1);
        into.document(cstr!("filter"), self.filter.as_ref())?;
        into.optional(cstr!("nameOnly"), self.name_only);
        into.optional(cstr!("authorizedDatabases"), self.authorized_databases);
        into.bson(cstr!("comment"), self.comment.as_ref())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        reply::check(&reply)?;
        let malformed = |error| ReplyFailure::malformed("databases", error);
        let databases =
            reply.get_array("databases").map_err(|error| malformed(error.to_string()))?;
        let mut all = Vec::new();
        for database in databases {
            let database = database.map_err(|error| malformed(error.to_string()))?;
            let database = database.as_document();
            all.push(database.ok_or_else(|| malformed("no documents".to_owned()))?.to_owned());
        }
        Ok(all)
    }
}

impl Operation for ListCollections {
    type Output = CursorReply;

    fn name(&self) -> &str {
        "listCollections"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Read
    }

    fn retryability(&self) -> Retryability {
        Retryability::Read
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("listCollections"), 1);
        into.append(cstr!("cursor"), cursor(self.batch_size));
        into.document(cstr!("filter"), self.filter.as_ref())?;
        into.optional(cstr!("nameOnly"), self.name_only);
        into.optional(cstr!("authorizedCollections"), self.authorized_collections);
        into.bson(cstr!("comment"), self.comment.as_ref())?;
        into.raw_data(self.raw_data, context);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        CursorReply::read(reply)
    }
}

impl Operation for ListIndexes {
    type Output = CursorReply;

    fn name(&self) -> &str {
        "listIndexes"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Read
    }

    fn retryability(&self) -> Retryability {
        Retryability::Read
    }

    fn build<'a>(
        &'a self,
        context: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("listIndexes"), self.collection.as_str());
        into.append(cstr!("cursor"), cursor(self.batch_size));
        into.bson(cstr!("comment"), self.comment.as_ref())?;
        into.raw_data(self.raw_data, context);
        Ok(())
    }

    fn read(
        &self,
        reply: RawDocumentBuf,
        _: &CommandContext<'_>,
    ) -> Result<Self::Output, ReplyFailure> {
        CursorReply::read(reply)
    }
}

#[cfg(test)]
mod tests {
    use bson::{doc, rawdoc};

    use super::*;
    use crate::engine::op::testing::plain;

    #[test]
    fn every_option_has_its_field() {
        let databases = ListDatabases {
            filter: Some(doc! { "name": "x" }.into()),
            name_only: Some(true),
            authorized_databases: Some(false),
            comment: Some("why".into()),
        };
        let expected = doc! {
            "listDatabases": 1, "filter": { "name": "x" }, "nameOnly": true,
            "authorizedDatabases": false, "comment": "why", "$db": "harbour",
        };
        assert_eq!(plain(&databases), expected);
        let collections = ListCollections {
            filter: Some(doc! { "type": "view" }.into()),
            name_only: Some(false),
            authorized_collections: Some(true),
            batch_size: Some(2),
            comment: Some("why".into()),
            raw_data: None,
        };
        let expected = doc! {
            "listCollections": 1, "cursor": { "batchSize": 2_i64 }, "filter": { "type": "view" },
            "nameOnly": false, "authorizedCollections": true, "comment": "why", "$db": "harbour",
        };
        assert_eq!(plain(&collections), expected);
        let indexes = ListIndexes { collection: "ports".into(), ..ListIndexes::default() };
        let expected = doc! { "listIndexes": "ports", "cursor": {}, "$db": "harbour" };
        assert_eq!(plain(&indexes), expected);
    }

    #[test]
    fn only_a_filter_by_name_lets_the_server_give_names_only() {
        let names = |filter| ListCollections { filter, ..Default::default() }.names().name_only;
        assert_eq!(names(None), Some(true));
        assert_eq!(names(Some(doc! { "name": "x" }.into())), Some(true));
        assert_eq!(names(Some(doc! { "name": "x", "options.capped": true }.into())), None);
    }

    #[test]
    fn databases_come_in_one_reply() {
        let read = |reply| ListDatabases::default().read(reply, &CommandContext::new("admin"));
        let reply = rawdoc! { "ok": 1, "databases": [{ "name": "a" }, { "name": "b" }] };
        assert_eq!(read(reply), Ok(vec![rawdoc! { "name": "a" }, rawdoc! { "name": "b" }]));
        for bad in [rawdoc! { "ok": 1 }, rawdoc! { "ok": 1, "databases": [1] }] {
            assert!(matches!(read(bad), Err(ReplyFailure::Malformed { .. })));
        }
    }
}
