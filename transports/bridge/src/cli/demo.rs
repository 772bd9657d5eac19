//! `portolan demo`: a deployment to look at and to harm, the bridge, and its page.

use std::sync::Arc;

use portolan_bridge::Deployment;
use portolan_support::Error;

use super::args::DemoArgs;
use super::bridge::serve_demo;
use super::mongod::Mongod;
use super::{Failure, asked_to_stop, failed};

/// Starts everything and serves until the program is asked to stop.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let (mongod, members) = (args.mongod, usize::from(args.members));
    eprintln!("starting a replica set of {members} ...");
    let started = tokio::task::spawn_blocking(move || deployment(mongod.as_deref(), members));
    let deployment = tokio::select! {
        deployment = started => deployment.map_err(failed)??,
        // The support crate's watchdog stops what was started.
        () = asked_to_stop() => return Ok(()),
    };
    serve_demo(deployment, args.port, args.pages).await
}

/// A set of real servers; without a mongod, the simulated one.
fn deployment(
    mongod: Option<&std::path::Path>,
    members: usize,
) -> Result<Arc<dyn Deployment>, Failure> {
    match Mongod::start(mongod, members) {
        Ok(set) => Ok(Arc::new(set)),
        Err(Error::NoBinary(reason)) if mongod.is_none() => simulated(&reason),
        Err(error) => Err(failed(error)),
    }
}

/// The seam for the simulated set: another [`Deployment`].
fn simulated(reason: &str) -> Result<Arc<dyn Deployment>, Failure> {
    Err(Failure::Failed(format!("{reason}\nthis version has no simulated set to fall back to")))
}
