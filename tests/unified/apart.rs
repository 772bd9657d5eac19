//! Why a test does not run: what it needs and is not there. Counted apart, never silently left out.

use std::fmt;

use crate::deployment::{Deployments, Kind};
use crate::schema::{ClientEntity, Entity, File, Operation, Test};
use crate::{operations, requirement, runner};

/// Why a test stands apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// No deployment meets its requirements.
    Requirement(String),
    /// It uses an operation, or an argument of one, that is not built yet.
    Operation(String),
    /// It uses an entity, or an option of one, that is not built yet.
    Entity(String),
    /// The file itself says that it is to be skipped.
    Skipped(String),
    /// It is known to fail, for a reason.
    Known(&'static str),
}

impl Reason {
    /// Whether the test uses an operation or an argument that no driver has: the runner refuses it,
    /// as it should.
    pub(crate) fn is_nonsense(&self) -> bool {
        let names = ["unsupportedOperation", "insertOne with foo"];
        matches!(self, Self::Operation(name) if names.contains(&name.as_str()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requirement(what) => write!(f, "requirement: {what}"),
            Self::Operation(what) => write!(f, "not built: operation {what}"),
            Self::Entity(what) => write!(f, "not built: {what}"),
            Self::Skipped(what) => write!(f, "skipReason: {what}"),
            Self::Known(what) => write!(f, "known: {what}"),
        }
    }
}

/// The deployments that a test runs on.
///
/// # Errors
///
/// Why it runs on none.
pub(crate) fn judge(
    path: &str,
    file: &File,
    test: &Test,
    deployments: &Deployments,
) -> Result<Vec<Kind>, Reason> {
    if let Some(reason) = &test.skip_reason {
        return Err(Reason::Skipped(reason.clone()));
    }
    let kinds = requirement::deployments(file, test, deployments).map_err(Reason::Requirement)?;
    file.create_entities.iter().try_for_each(entity)?;
    test.operations.iter().try_for_each(operation)?;
    if test.expect_tracing_messages.is_some() {
        return Err(Reason::Entity("OpenTelemetry".to_owned()));
    }
    let known = KNOWN.iter().find(|(file, description, _)| {
        *file == path && (description.is_empty() || *description == test.description)
    });
    if let Some((_, _, why)) = known {
        return Err(Reason::Known(why));
    }
    let unbalanced =
        UNBALANCED.iter().find(|(file, title, _)| *file == path && *title == test.description);
    let (kinds, balanced): (Vec<Kind>, Vec<Kind>) = kinds
        .into_iter()
        .partition(|kind| unbalanced.is_none() || kind.topology() != "load-balanced");
    match unbalanced {
        Some((_, _, why)) if kinds.is_empty() && !balanced.is_empty() => Err(Reason::Known(why)),
        _ => Ok(kinds),
    }
}

/// Tests that cannot run behind the load balancer that there is, and why. They run on the other
/// deployments.
const UNBALANCED: &[(&str, &str, &str)] = &[
    (
        "client-side-operations-timeout/tests/close-cursors.json",
        "timeoutMS is refreshed for close",
        "a cursor behind a load balancer ends with its connection",
    ),
    (
        "transactions/tests/unified/mongos-recovery-token.json",
        "commitTransaction explicit retries include recoveryToken",
        "behind the load balancer is no mongos, and so no recovery token",
    ),
];

/// Tests that this driver cannot pass, by file, description (empty: all of the file) and reason.
const KNOWN: &[(&str, &str, &str)] = &[
    (
        "connection-monitoring-and-pooling/tests/logging/connection-pool-options.json",
        "waitQueueSize should be included in connection pool created message when specified",
        DEPRECATED,
    ),
    (
        "connection-monitoring-and-pooling/tests/logging/connection-pool-options.json",
        "waitQueueMultiple should be included in connection pool created message when specified",
        DEPRECATED,
    ),
    (
        "client-side-operations-timeout/tests/runCursorCommand.json",
        "Non-tailable cursor iteration timeoutMS is refreshed for getMore if timeoutMode is \
         iteration - failure",
        IN_TIME,
    ),
    (
        "client-side-operations-timeout/tests/runCursorCommand.json",
        "Tailable cursor iteration timeoutMS is refreshed for getMore - failure",
        IN_TIME,
    ),
    (
        "client-side-operations-timeout/tests/runCursorCommand.json",
        "Tailable cursor awaitData iteration timeoutMS is refreshed for getMore - failure",
        FIRST_BATCH,
    ),
];

const FIRST_BATCH: &str = "both documents are in the first batch: there is no getMore to be late";
const IN_TIME: &str = "the getMore is blocked for 60 ms of the 100 ms that are its own: in time";

const DEPRECATED: &str = "CMAP \"Deprecated Options\": a new driver must not have this option";

fn entity(entity: &Entity) -> Result<(), Reason> {
    let missing = |what: &str| Err(Reason::Entity(what.to_owned()));
    match entity {
        Entity::Client(client) => self::client(client),
        Entity::Database(_) | Entity::Collection(_) | Entity::Thread(_) => Ok(()),
        Entity::Session(session) => {
            let options = &session.session_options;
            let unbuilt = options.keys().find(|name| !SESSION_OPTIONS.contains(&name.as_str()));
            unbuilt.map_or(Ok(()), |name| missing(&format!("session option {name}")))
        }
        Entity::Bucket(_) => missing("entity bucket"),
        Entity::ClientEncryption(_) => missing("entity clientEncryption"),
    }
}

fn client(client: &ClientEntity) -> Result<(), Reason> {
    let missing = |what: &str| Err(Reason::Entity(what.to_owned()));
    let options = [
        ("autoEncryptOpts", client.auto_encrypt_opts.is_some()),
        ("observeTracingMessages", client.observe_tracing_messages.is_some()),
        ("storeEventsAsEntities", client.store_events_as_entities.is_some()),
    ];
    if let Some((name, _)) = options.iter().find(|(_, set)| *set) {
        return missing(&format!("client option {name}"));
    }
    Ok(())
}

const SESSION_OPTIONS: [&str; 5] = [
    "causalConsistency",
    "snapshot",
    "snapshotTime",
    "defaultTransactionOptions",
    "defaultTimeoutMS",
];

fn operation(operation: &Operation) -> Result<(), Reason> {
    let of_runner = operation.object == "testRunner";
    let built = if of_runner { runner::BUILT } else { operations::BUILT };
    let name = &operation.name;
    let Some((_, arguments)) = built.iter().find(|(known, _)| known == name) else {
        return Err(Reason::Operation(name.clone()));
    };
    let unbuilt = operation.arguments.keys().find(|key| !arguments.contains(&key.as_str()));
    if let Some(argument) = unbuilt {
        return Err(Reason::Operation(format!("{name} with {argument}")));
    }
    if name == "withTransaction" {
        // What is malformed fails the test when it runs.
        let callback = operations::callback(&operation.arguments).unwrap_or_default();
        callback.iter().try_for_each(self::operation)?;
    }
    if of_runner && let Ok(Some(nested)) = runner::nested(operation) {
        self::operation(&nested)?;
    }
    if of_runner && name == "createEntities" {
        let entities = operation.arguments.get_array("entities").into_iter().flatten();
        for document in entities {
            // What is malformed fails the test when it runs.
            if let Ok(made) = bson::deserialize_from_bson::<Entity>(document.clone()) {
                entity(&made)?;
            }
        }
    }
    Ok(())
}
