//! `portolan ping`: one ping, and who answered.

use portolan::engine::selection::{ReadPreference, ReadPreferenceMode};

use super::args::PingArgs;
use super::{Failure, client, failed, options, say};

/// Sends one ping and prints the answer.
pub(crate) async fn run(args: PingArgs) -> Result<(), Failure> {
    let mode: ReadPreferenceMode =
        args.read_preference.parse().map_err(|error| Failure::Usage(format!("{error}")))?;
    let (client, driver) = client(options(&args.uri)?).await?;
    tokio::spawn(driver);
    let ping = client.ping(ReadPreference::of(mode)).await.map_err(failed)?;
    let millis = ping.duration.as_secs_f64() * 1e3;
    say(format_args!("{} {} {millis:.3} ms", ping.address, ping.server_type))?;
    client.shutdown().await;
    Ok(())
}
