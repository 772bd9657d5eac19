//! The same for JavaScript: nothing here is of one runtime, so that each that loads the module can
//! play the scenes.

use std::sync::Arc;
use std::time::Duration;

use portolan::transport::Transport;
use portolan_js::Bridge;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

use crate::{SCENES, Scene, lateness};

/// The host's clock and timers. No bridge is dialled: the network is a scene's.
fn time() -> Result<Arc<dyn Transport>, String> {
    let bridge = Bridge::new("ws://127.0.0.1/no-bridge").map_err(|error| error.to_string())?;
    Ok(Arc::new(bridge))
}

/// The names of the scenes, a line each.
#[wasm_bindgen]
pub fn scenes() -> String {
    let names: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
    names.join("\n")
}

/// Plays a scene; answers its lines as one text.
#[wasm_bindgen]
pub async fn play(name: String) -> Result<String, String> {
    let scene = Scene::named(&name).ok_or_else(|| format!("no scene is called {name}"))?;
    let spawn = |driver| spawn_local(driver);
    Ok(crate::play(scene, time()?, spawn).await?.join("\n"))
}

/// Measures for so many seconds; answers a row of the table.
#[wasm_bindgen]
pub async fn lateness(runtime: String, seconds: f64) -> Result<String, String> {
    let length = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    let spawn = |driver| spawn_local(driver);
    Ok(lateness::row(&runtime, &lateness::measure(time()?, spawn, length).await?))
}
