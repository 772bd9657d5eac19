//! Other bridges between WebSockets and TCP, which `cargo xtask bench bridge` measures beside ours.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{Outcome, announce};
use crate::paths::Paths;
use crate::run;

/// websockify, in a Python of its own.
pub(crate) fn websockify(paths: &Paths) -> Outcome {
    let place = paths.bridges().join("websockify");
    let pip = place.join("bin/pip");
    if place.join("bin/websockify").is_file() {
        return Outcome::have(&place);
    }
    announce("pip install websockify");
    let installed = run::quietly(Command::new("python3").args(["-m", "venv"]).arg(&place))
        .and_then(|_| run::quietly(Command::new(&pip).args(["install", "--quiet", WEBSOCKIFY])));
    outcome(installed, &place, &format!("{} install {WEBSOCKIFY}", pip.display()))
}

/// The npm package that most bridges in Node.js are made of.
pub(crate) fn ws(paths: &Paths) -> Outcome {
    let place = paths.bridges().join("ws");
    if place.join("node_modules/ws/package.json").is_file() {
        return Outcome::have(&place);
    }
    announce("npm install ws");
    let by_hand = format!("npm install --prefix {} {}", place.display(), WS.join(" "));
    if let Err(error) = fs::create_dir_all(&place) {
        return Outcome::cannot(error.to_string(), by_hand);
    }
    let mut command = Command::new("npm");
    command.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&place).args(WS);
    outcome(run::quietly(&mut command), &place, &by_hand)
}

/// websocat, without TLS.
pub(crate) fn websocat(paths: &Paths) -> Outcome {
    let place = paths.bridges().join("websocat");
    if place.join("bin/websocat").is_file() {
        return Outcome::have(&place);
    }
    announce("cargo install websocat (a few minutes)");
    let mut command = paths.cargo();
    command
        .args(["install", "--quiet", "websocat", "--version", WEBSOCAT, "--no-default-features"])
        .arg("--root")
        .arg(&place)
        .env("CARGO_TARGET_DIR", paths.cache.join("build"));
    let installed = run::quietly(&mut command);
    // Intermediate files that nothing will ask for again.
    let _ = fs::remove_dir_all(paths.cache.join("build"));
    let by_hand = format!("cargo install websocat --version {WEBSOCAT} --root {}", place.display());
    outcome(installed, &place, &by_hand)
}

fn outcome(installed: Result<String, String>, place: &Path, by_hand: &str) -> Outcome {
    match installed {
        Ok(_) => Outcome::installed(place),
        Err(reason) => Outcome::cannot(reason, by_hand),
    }
}

const WEBSOCKIFY: &str = "websockify==0.13.0";
/// With its module in C, which unmasks.
const WS: [&str; 2] = ["ws@8.23.0", "bufferutil@4.1.0"];
const WEBSOCAT: &str = "1.14.1";
