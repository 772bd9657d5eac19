//! `portolan explain`: why each server would or would not be chosen.

use std::time::Duration;

use futures_util::StreamExt as _;
use portolan::engine::selection::{OperationKind, ReadPreference, ReadPreferenceMode};
use portolan::{Client, Topology};

use super::args::ExplainArgs;
use super::{Failure, client, failed, options, say};

/// Discovers the deployment, then explains.
pub(crate) async fn run(args: ExplainArgs) -> Result<(), Failure> {
    let mode: ReadPreferenceMode =
        args.read_preference.parse().map_err(|error| Failure::Usage(format!("{error}")))?;
    let options = options(&args.uri)?;
    let patience = options.server_selection_timeout.min(PATIENCE);
    let (client, driver) = client(options).await?;
    let topology = client.topology();
    tokio::spawn(driver);
    // Who does not answer in time is explained as just that.
    let _ = tokio::time::timeout(patience, until_checked(topology)).await;
    let done = explain(&client, mode, args.json);
    client.shutdown().await;
    done
}

/// How long members may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends when every server has been checked.
async fn until_checked(mut topology: Topology) {
    let unchecked = |topology: &Topology| {
        let servers = &topology.description().servers;
        servers.is_empty() || servers.values().any(|server| server.last_update_time.is_none())
    };
    while unchecked(&topology) {
        if topology.next().await.is_none() {
            return;
        }
    }
}

fn explain(client: &Client, mode: ReadPreferenceMode, json: bool) -> Result<(), Failure> {
    let explanation =
        client.explain(OperationKind::Read, &ReadPreference::of(mode)).map_err(failed)?;
    if json {
        say(serde_json::to_string(&explanation).map_err(failed)?)?;
    } else {
        say(&explanation)?;
    }
    if explanation.is_satisfied() { Ok(()) } else { Err(failed("no server would be chosen")) }
}
