//! `portolan watch`: each event as it happens.

use std::fs::File;
use std::time::Duration;

use futures_util::StreamExt as _;
use portolan::event::Event;
use portolan::options::TraceSink;

use super::args::WatchArgs;
use super::{Failure, asked_to_stop, client, failed, options, say, text};

/// Prints events until the time is over or the program is asked to stop.
pub(crate) async fn run(args: WatchArgs) -> Result<(), Failure> {
    let mut options = options(&args.uri)?;
    if let Some(path) = &args.trace {
        let name = path.display();
        let file = File::create(path).map_err(|error| failed(format!("{name}: {error}")))?;
        options.trace = Some(TraceSink::writer(file));
    }
    let (client, driver) = client(options).await?;
    let mut topology = client.topology();
    tokio::spawn(driver);
    let over = async {
        match args.limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(over);
    let stop = asked_to_stop();
    tokio::pin!(stop);
    loop {
        let event = tokio::select! {
            biased;
            () = &mut stop => break,
            () = &mut over => break,
            event = topology.next() => event,
        };
        match event {
            Some(event) if print(&event, args.json)? => {}
            // Nobody reads on, or nothing is left to say.
            _ => return Ok(()),
        }
    }
    // The last events say that everything was closed.
    let _ = tokio::time::timeout(CLOSING, client.shutdown()).await;
    while let Ok(Some(event)) = tokio::time::timeout(CLOSING, topology.next()).await {
        if !print(&event, args.json)? {
            break;
        }
    }
    Ok(())
}

/// What closing may take.
const CLOSING: Duration = Duration::from_secs(1);

/// Whether somebody still reads.
fn print(event: &Event, json: bool) -> Result<bool, Failure> {
    let line = if json { serde_json::to_string(event).map_err(failed)? } else { text::line(event) };
    say(line)
}
