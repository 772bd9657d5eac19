//! Which deployments a test runs on, and which tests stay apart for want of one.

use bson::Bson;

use crate::deployment::{Deployments, Kind};
use crate::matching::equal;
use crate::schema::{File, Requirement, Test};

/// The deployments that meet the requirements of the file and of the test; none: what is missing.
pub(crate) fn deployments(
    file: &File,
    test: &Test,
    available: &Deployments,
) -> Result<Vec<Kind>, String> {
    let mut met = Vec::new();
    let mut unmet: Vec<String> = Vec::new();
    // A password is asked for where a test wants that, and nowhere else.
    let mut all = file.run_on_requirements.iter().chain(&test.run_on_requirements);
    let guarded = all.any(|requirement| requirement.auth == Some(true));
    let exists = |kind: &Kind| kind.is_guarded() == guarded && available.has(*kind);
    for kind in Kind::ALL.into_iter().filter(exists) {
        let outcome = any(&file.run_on_requirements, kind, available)
            .and_then(|()| any(&test.run_on_requirements, kind, available));
        match outcome {
            Ok(()) => met.push(kind),
            Err(reason) => unmet.push(reason),
        }
    }
    if met.is_empty() {
        // The most telling one: a topology that there is not says less than a version or auth.
        unmet.sort_by_key(|reason| reason.starts_with("topology"));
        unmet.dedup();
        return Err(unmet.swap_remove(0));
    }
    Ok(met)
}

/// "tests MUST be run if at least one of the requirements is met".
fn any(requirements: &[Requirement], kind: Kind, available: &Deployments) -> Result<(), String> {
    let mut unmet = None;
    for requirement in requirements {
        match meets(requirement, kind, available) {
            Ok(()) => return Ok(()),
            Err(reason) => {
                unmet =
                    unmet.filter(|known: &String| !known.starts_with("topology")).or(Some(reason));
            }
        }
    }
    unmet.map_or(Ok(()), Err)
}

fn meets(requirement: &Requirement, kind: Kind, available: &Deployments) -> Result<(), String> {
    if let Some(topologies) = &requirement.topologies
        && !topologies.iter().any(|name| name == kind.topology())
    {
        return Err(format!("topology {}", topologies.join(" or ")));
    }
    if let Some(least) = requirement.min_server_version
        && available.version < least
    {
        return Err(format!("server {least} or later"));
    }
    if let Some(most) = requirement.max_server_version
        && available.version > most
    {
        return Err(format!("server {most} or earlier"));
    }
    if requirement.auth.is_some_and(|auth| auth != kind.is_guarded()) {
        return Err("authentication, or none".to_owned());
    }
    if let Some(mechanism) = &requirement.auth_mechanism {
        return Err(format!("authMechanism {mechanism}"));
    }
    match requirement.serverless.as_deref() {
        None | Some("forbid" | "allow") => {}
        Some(other) => return Err(format!("serverless {other}")),
    }
    if requirement.csfle.as_ref().is_some_and(|csfle| *csfle != Bson::Boolean(false)) {
        return Err("client-side encryption".to_owned());
    }
    if let Some(wanted) = &requirement.server_parameters {
        let parameters = available.start(kind)?.parameters()?;
        for (name, value) in wanted {
            if !parameters.get(name).is_some_and(|actual| equal(value, actual)) {
                return Err(format!("server parameter {name}: {value}"));
            }
        }
    }
    Ok(())
}
