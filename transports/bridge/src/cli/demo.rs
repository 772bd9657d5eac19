//! `portolan demo`: a deployment to look at and to harm, the bridge, and its page.

use std::path::PathBuf;
use std::sync::Arc;

use portolan_bridge::Deployment;
use portolan_support::Error;

use super::args::DemoArgs;
use super::bridge::serve_demo;
use super::mongod::Mongod;
use super::simulated::Simulated;
use super::{Failure, asked_to_stop, failed};

/// Starts everything and serves until the program is asked to stop.
pub(crate) async fn run(args: DemoArgs) -> Result<(), Failure> {
    let (choice, members) = (Choice::of(&args), usize::from(args.members));
    eprintln!("starting a replica set of {members} ...");
    let started = tokio::task::spawn_blocking(move || choice.start(members));
    let deployment = tokio::select! {
        deployment = started => deployment.map_err(failed)??,
        // The support crate's watchdog stops what was started.
        () = asked_to_stop() => return Ok(()),
    };
    serve_demo(deployment, args.port, args.pages).await
}

/// Which set the command line asks for.
enum Choice {
    Simulated,
    /// Real servers; the simulated set where there is no mongod.
    Found,
    /// Real servers of this program, or an error.
    At(PathBuf),
}

impl Choice {
    fn of(args: &DemoArgs) -> Self {
        match &args.mongod {
            _ if args.simulated => Self::Simulated,
            Some(path) => Self::At(path.clone()),
            None => Self::Found,
        }
    }

    /// Blocks until the set has a primary.
    fn start(&self, members: usize) -> Result<Arc<dyn Deployment>, Failure> {
        let started = match self {
            Self::Simulated => return simulated(members),
            Self::Found => Mongod::start(None, members),
            Self::At(path) => Mongod::start(Some(path), members),
        };
        match started {
            Ok(set) => Ok(Arc::new(set)),
            Err(Error::NoBinary(reason)) if matches!(self, Self::Found) => {
                eprintln!("portolan: {reason}\nportolan: the demo goes on with a simulated set");
                simulated(members)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

fn simulated(members: usize) -> Result<Arc<dyn Deployment>, Failure> {
    Ok(Arc::new(Simulated::start(members).map_err(failed)?))
}
