//! The files of the unified test format, typed. A field that is not named here is an error.
//!
//! Specification: unified-test-format "Test Format"; the versions that are understood are in
//! [`SCHEMA_VERSIONS`].

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bson::{Bson, Document};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::validate::validate;
use crate::version::Version;

/// The versions of the format that this runner understands.
pub(crate) const SCHEMA_VERSIONS: RangeInclusive<Version> =
    Version::new(1, 0, 0)..=Version::new(1, 28, 0);

/// One test file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct File {
    #[serde(rename = "description")]
    pub(crate) _description: String,
    pub(crate) schema_version: Version,
    #[serde(default)]
    pub(crate) run_on_requirements: Vec<Requirement>,
    #[serde(default)]
    pub(crate) create_entities: Vec<Entity>,
    #[serde(default)]
    pub(crate) initial_data: Vec<CollectionData>,
    pub(crate) tests: Vec<Test>,
    /// Kept by the conversion from YAML; means nothing.
    #[serde(rename = "_yamlAnchors", default)]
    _yaml_anchors: Option<Bson>,
}

/// One test.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Test {
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) run_on_requirements: Vec<Requirement>,
    pub(crate) skip_reason: Option<String>,
    pub(crate) operations: Vec<Operation>,
    #[serde(default)]
    pub(crate) expect_events: Vec<ExpectedEvents>,
    #[serde(default)]
    pub(crate) expect_log_messages: Vec<ExpectedLogMessages>,
    pub(crate) expect_tracing_messages: Option<Bson>,
    #[serde(default)]
    pub(crate) outcome: Vec<CollectionData>,
}

/// What a deployment must be like. All fields that are there must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Requirement {
    pub(crate) min_server_version: Option<Version>,
    pub(crate) max_server_version: Option<Version>,
    pub(crate) topologies: Option<Vec<String>>,
    pub(crate) serverless: Option<String>,
    pub(crate) server_parameters: Option<Document>,
    pub(crate) auth: Option<bool>,
    pub(crate) auth_mechanism: Option<String>,
    pub(crate) csfle: Option<Bson>,
}

/// The content of a collection, before or after.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct CollectionData {
    pub(crate) collection_name: String,
    pub(crate) database_name: String,
    pub(crate) create_options: Option<Document>,
    pub(crate) documents: Vec<Document>,
}

/// Something with a name that operations use.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Entity {
    Client(Box<ClientEntity>),
    Database(DatabaseEntity),
    Collection(CollectionEntity),
    Thread(ThreadEntity),
    Session(SessionEntity),
    Bucket(IgnoredAny),
    ClientEncryption(IgnoredAny),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ClientEntity {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) uri_options: Document,
    pub(crate) use_multiple_mongoses: Option<bool>,
    #[serde(default)]
    pub(crate) observe_events: Vec<String>,
    #[serde(default)]
    pub(crate) ignore_command_monitoring_events: Vec<String>,
    #[serde(default)]
    pub(crate) observe_sensitive_commands: bool,
    #[serde(default)]
    pub(crate) observe_log_messages: BTreeMap<String, String>,
    pub(crate) observe_tracing_messages: Option<Bson>,
    pub(crate) server_api: Option<Document>,
    pub(crate) auto_encrypt_opts: Option<Document>,
    pub(crate) store_events_as_entities: Option<Bson>,
    #[serde(rename = "awaitMinPoolSizeMS")]
    pub(crate) await_min_pool_size_ms: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DatabaseEntity {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) database_name: String,
    #[serde(default)]
    pub(crate) database_options: CollectionOptions,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct CollectionEntity {
    pub(crate) id: String,
    pub(crate) database: String,
    pub(crate) collection_name: String,
    #[serde(default)]
    pub(crate) collection_options: CollectionOptions,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct SessionEntity {
    pub(crate) id: String,
    pub(crate) client: String,
    #[serde(default)]
    pub(crate) session_options: Document,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ThreadEntity {
    pub(crate) id: String,
}

/// "collectionOrDatabaseOptions".
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct CollectionOptions {
    pub(crate) read_concern: Option<Document>,
    pub(crate) read_preference: Option<Document>,
    pub(crate) write_concern: Option<Document>,
    #[serde(rename = "timeoutMS")]
    pub(crate) timeout_ms: Option<Bson>,
}

/// One operation, and what is to come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) object: String,
    #[serde(default)]
    pub(crate) arguments: Document,
    #[serde(default)]
    pub(crate) ignore_result_and_error: bool,
    pub(crate) expect_error: Option<ExpectedError>,
    pub(crate) expect_result: Option<Bson>,
    pub(crate) save_result_as_entity: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExpectedError {
    pub(crate) is_error: Option<bool>,
    pub(crate) is_client_error: Option<bool>,
    pub(crate) is_timeout_error: Option<bool>,
    pub(crate) error_contains: Option<String>,
    pub(crate) error_code: Option<i64>,
    pub(crate) error_code_name: Option<String>,
    #[serde(default)]
    pub(crate) error_labels_contain: Vec<String>,
    #[serde(default)]
    pub(crate) error_labels_omit: Vec<String>,
    pub(crate) error_response: Option<Document>,
    pub(crate) write_errors: Option<Document>,
    pub(crate) write_concern_errors: Option<Vec<Document>>,
    pub(crate) expect_result: Option<Bson>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExpectedEvents {
    pub(crate) client: String,
    #[serde(default)]
    pub(crate) event_type: EventType,
    pub(crate) events: Vec<Document>,
    #[serde(default)]
    pub(crate) ignore_extra_events: bool,
}

/// Which of the three kinds of events.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum EventType {
    #[default]
    Command,
    Cmap,
    Sdam,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExpectedLogMessages {
    pub(crate) client: String,
    pub(crate) messages: Vec<ExpectedLogMessage>,
    #[serde(default)]
    pub(crate) ignore_messages: Vec<ExpectedLogMessage>,
    #[serde(default)]
    pub(crate) ignore_extra_messages: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ExpectedLogMessage {
    pub(crate) level: String,
    pub(crate) component: String,
    pub(crate) failure_is_redacted: Option<bool>,
    pub(crate) data: Document,
}

/// Reads one file.
///
/// # Errors
///
/// What is no JSON, no extended JSON, or not of the format.
pub(crate) fn parse(json: &str) -> Result<File, String> {
    let value: serde_json::Value =
        serde_json::from_str(json).map_err(|error| format!("no JSON: {error}"))?;
    let bson = Bson::try_from(value).map_err(|error| format!("no extended JSON: {error}"))?;
    let file: File =
        bson::deserialize_from_bson(bson).map_err(|error| format!("not of the format: {error}"))?;
    if !SCHEMA_VERSIONS.contains(&file.schema_version) {
        return Err(format!("schema version {} is not understood", file.schema_version));
    }
    validate(&file)?;
    Ok(file)
}
