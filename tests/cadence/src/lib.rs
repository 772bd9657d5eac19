//! One scripted deployment on every runtime: the same sequence of engine actions.
//!
//! The schedule of a client is computed in the engine, so the cadence of its checks is the same
//! wherever it runs. Here that is shown: a client plays a [`Scene`] with the real timers, clock and
//! executor of a runtime, and [`play`] answers everything that its engine was told and wanted, in
//! order and without times. Two runtimes that answer different lines differ.
//!
//! The scenes are made so that late timers change nothing. Nothing of the deployment depends on
//! time; where several timers of the client are pending, they are due in the order of the members'
//! names, in which the engine also handles those that are due at once, and the deployment answers
//! none of them before all have acted. What a scene cannot bear is a process that stands still for
//! half a second in the middle of a burst of messages, with nothing to wait for.
//!
//! A runtime needs a transport for its time (its network is not used) and a way to spawn.

pub mod lateness;
mod lines;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
#[cfg(target_arch = "wasm32")]
pub mod page;
mod scenes;

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::poll;
use portolan::options::TraceSink;
use portolan::transport::Transport;
use portolan::{Client, ClientOptions, Driver, ReadPreference};
use portolan_sim::scripted::Deployment;

pub use scenes::{SCENES, Scene};

/// Longer than any scene takes on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Plays a scene with the time of `time`, the driver spawned by `spawn`; answers the lines.
///
/// # Errors
///
/// What the client did that the scene does not know, what it did not do in time, or why its
/// recording cannot be run again.
pub async fn play(
    scene: &Scene,
    time: Arc<dyn Transport>,
    spawn: impl FnOnce(Driver),
) -> Result<Vec<String>, String> {
    let deployment = Deployment::new(scene.script());
    let recording = Arc::new(Mutex::new(Vec::new()));
    let mut options = ClientOptions::parse(scene.uri()).map_err(|error| error.to_string())?;
    // Operations in flight are looked at by a timer of their own, which is not part of the cadence.
    options.suspicion.enabled = false;
    options.trace = Some(TraceSink::new({
        let (recording, deployment) = (recording.clone(), deployment.clone());
        move |line: &str| {
            // What happens behind the last act has no end that would be the same everywhere.
            if !deployment.is_finished() {
                let mut lines = recording.lock().unwrap_or_else(PoisonError::into_inner);
                lines.push(line.to_owned());
            }
        }
    }));
    let transport = Arc::new(deployment.transport(time.clone()));
    let (client, driver) = Client::new(options, transport).map_err(|error| error.to_string())?;
    spawn(driver);
    let outcome = {
        let end = pin!(deployment.finished());
        let operations = pin!(operate(&client, &deployment));
        let late = time.sleep_until(time.now() + PATIENCE);
        match select(select(end, operations), late).await {
            Either::Left((Either::Left((outcome, _)), _)) => outcome,
            Either::Left((Either::Right(((), _)), _)) => Err("the operations ended".to_owned()),
            Either::Right(_) => Err(format!("no {} in {PATIENCE:?}", deployment.awaited())),
        }
    };
    client.shutdown().await;
    let lines = lines::of(&recording.lock().unwrap_or_else(PoisonError::into_inner))?;
    outcome.map(|()| lines)
}

/// Runs one operation after the other, each when the script lets it begin; notes that it waits, and
/// that it has ended.
async fn operate(client: &Client, deployment: &Deployment) {
    for number in 1.. {
        deployment.started(number).await;
        let mut ping = pin!(client.ping(ReadPreference::primary()));
        let outcome = match poll!(&mut ping) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => {
                deployment.note(&format!("operation {number} waits"));
                ping.await
            }
        };
        match outcome {
            Ok(ping) => deployment.note(&format!("operation {number} ran on {}", ping.address)),
            Err(error) => deployment.note(&format!("operation {number} failed: {error}")),
        }
    }
}
