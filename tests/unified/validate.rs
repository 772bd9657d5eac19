//! What the types of [`crate::schema`] cannot say about a file: words that must be known.

use crate::events;
use crate::logs;
use crate::schema::{ExpectedLogMessage, File, Requirement, Test};

/// The format's topologies.
const TOPOLOGIES: [&str; 5] =
    ["single", "replicaset", "sharded", "sharded-replicaset", "load-balanced"];

/// The logging specification's components.
const COMPONENTS: [&str; 4] = ["command", "topology", "serverSelection", "connection"];

/// Refuses a file with an event, a field of an event, a level, a component or a topology that the
/// format does not have.
pub(crate) fn validate(file: &File) -> Result<(), String> {
    file.run_on_requirements.iter().try_for_each(requirement)?;
    file.tests.iter().try_for_each(|test| {
        validate_test(test).map_err(|what| format!("test \"{}\": {what}", test.description))
    })
}

fn validate_test(test: &Test) -> Result<(), String> {
    test.run_on_requirements.iter().try_for_each(requirement)?;
    for expected in &test.expect_events {
        for event in &expected.events {
            let (name, _) = events::parse(event)?;
            if events::kind_of(name) != expected.event_type {
                return Err(format!("{name} is no event of type {:?}", expected.event_type));
            }
        }
    }
    for expected in &test.expect_log_messages {
        expected.messages.iter().chain(&expected.ignore_messages).try_for_each(message)?;
    }
    Ok(())
}

fn message(expected: &ExpectedLogMessage) -> Result<(), String> {
    if logs::severity(&expected.level).is_none() {
        return Err(format!("{} is no log level", expected.level));
    }
    if !COMPONENTS.contains(&expected.component.as_str()) {
        return Err(format!("{} is no log component", expected.component));
    }
    Ok(())
}

fn requirement(requirement: &Requirement) -> Result<(), String> {
    let topologies = requirement.topologies.iter().flatten();
    match topologies.into_iter().find(|name| !TOPOLOGIES.contains(&name.as_str())) {
        Some(unknown) => Err(format!("{unknown} is no topology")),
        None => Ok(()),
    }
}
