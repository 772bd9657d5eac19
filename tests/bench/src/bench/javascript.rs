//! The npm package beside the official Node.js driver, by a script that this one starts servers
//! for.

use std::process::{Command, Stdio};
use std::time::Duration;

use bson::doc;
use portolan_support::{MemberOptions, Standalone};

use super::bridge::ways::{Started, free};
use super::round_trips::{WAY, proxy};
use super::rounds;
use crate::peer::Failure;
use crate::setting::binary;

const USER: &str = "ann:secret@";

pub fn run() -> Result<(), Failure> {
    let script = std::env::var("PORTOLAN_BENCH_JAVASCRIPT").map_err(|_| {
        "PORTOLAN_BENCH_JAVASCRIPT does not name the script; `cargo xtask bench javascript` does"
    })?;
    let lone = Standalone::start(&binary()?)?;
    let guarded = MemberOptions { access_control: true, ..MemberOptions::default() };
    let guarded = Standalone::start_with(&binary()?, guarded)?;
    guarded.connect(Duration::from_secs(30))?.run(&doc! {
        "createUser": "ann", "pwd": "secret", "roles": ["root"], "mechanisms": ["SCRAM-SHA-256"],
    })?;
    let runtime = tokio::runtime::Runtime::new()?;
    let bridge = runtime.block_on(free())?;
    let program = std::env::var("PORTOLAN_BIN")
        .map_err(|_| "PORTOLAN_BIN does not name the program `portolan`")?;
    let mut command = Command::new(program);
    command.args(["bridge", "--listen", &bridge.to_string(), "--allow-no-origin"]);
    command.args(["--uri", &format!("mongodb://{}", lone.address()), "--log-level", "off"]);
    command.args(["--allow-target", &guarded.address().to_string()]);
    let _bridge = Started(command.stdout(Stdio::null()).spawn()?);
    // The bridge is far from the client and near to the servers.
    let far_bridge = proxy(bridge)?;
    let uris = [
        ("PLAIN_FAR", format!("mongodb://{}/", proxy(lone.address())?)),
        ("SCRAM_FAR", format!("mongodb://{USER}{}/", proxy(guarded.address())?)),
        ("PLAIN", format!("mongodb://{}/", lone.address())),
        ("SCRAM", format!("mongodb://{USER}{}/", guarded.address())),
        ("BRIDGE_FAR", format!("ws://{far_bridge}/tunnel")),
        ("ROUND_TRIP_MS", (2 * WAY).as_millis().to_string()),
        ("ROUNDS", rounds().to_string()),
    ];
    // Node.js 20 has its WebSocket behind a flag, later ones know the flag still.
    let status = Command::new("node")
        .args(["--no-warnings", "--experimental-websocket", &script])
        .envs(uris)
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("{script}: {status}").into()) }
}
