//! Node.js, the packages that `web` locks, and the other JavaScript runtimes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use super::{Outcome, announce};
use crate::paths::{Paths, on_path};
use crate::run;

const OLDEST_NODE: u32 = 20;

/// Installs what each lock file below `web` names.
pub(crate) fn packages(paths: &Paths) -> Outcome {
    if let Some(outcome) = without_npm() {
        return outcome;
    }
    let stale: Vec<_> = locked_folders(paths).into_iter().filter(|f| !is_installed(f)).collect();
    let place = paths.root.join("web").join("node_modules");
    if stale.is_empty() {
        return Outcome::have(&place);
    }
    for folder in stale {
        if let Err(outcome) = npm_ci(&folder) {
            return outcome;
        }
    }
    Outcome::installed(&place)
}

/// Installs Deno, Bun and workerd into the cache, from the packages that carry the programs.
///
/// Not among the packages of `web`: they are 350 MB, and no build needs them.
pub(crate) fn runtimes(paths: &Paths) -> Outcome {
    if let Some(outcome) = without_npm() {
        return outcome;
    }
    let (locked, place) = (paths.root.join("tests/xtask/js-runtimes"), paths.js_runtimes());
    let lock = "package-lock.json";
    let is_current = fs::read(locked.join(lock)).ok() == fs::read(place.join(lock)).ok();
    if is_current && is_installed(&place) {
        return Outcome::have(&place);
    }
    let copied = fs::create_dir_all(&place).and_then(|()| {
        ["package.json", lock]
            .iter()
            .try_for_each(|name| fs::copy(locked.join(name), place.join(name)).map(|_| ()))
    });
    if let Err(error) = copied {
        return Outcome::cannot(error.to_string(), format!("mkdir -p {}", place.display()));
    }
    if let Err(outcome) = npm_ci(&place) {
        return outcome;
    }
    for name in ["deno", "bun", "workerd"] {
        let program = place.join("node_modules/.bin").join(name);
        if let Err(reason) = run::quietly(Command::new(&program).arg("--version")) {
            return Outcome::cannot(reason, format!("{} --version", program.display()));
        }
    }
    Outcome::installed(&place)
}

/// What is missing of Node.js and npm.
fn without_npm() -> Option<Outcome> {
    match node_version() {
        Some(version) if version >= OLDEST_NODE && on_path("npm").is_some() => None,
        Some(version) if version >= OLDEST_NODE => {
            Some(Outcome::cannot("there is no npm", "install npm with Node.js"))
        }
        version => {
            let found = version.map_or("no Node.js".into(), |version| format!("Node.js {version}"));
            Some(Outcome::cannot(
                format!("{found} is here; {OLDEST_NODE} or newer is needed"),
                "install Node.js 20 or newer with npm",
            ))
        }
    }
}

fn npm_ci(folder: &Path) -> Result<(), Outcome> {
    announce(&format!("npm ci in {}", folder.display()));
    let mut command = Command::new("npm");
    command.args(["ci", "--no-audit", "--no-fund"]).current_dir(folder);
    let outcome = |reason| Outcome::cannot(reason, format!("cd {} && npm ci", folder.display()));
    run::quietly(&mut command).map(|_| ()).map_err(outcome)
}

fn node_version() -> Option<u32> {
    let said = run::quietly(Command::new("node").arg("--version")).ok()?;
    said.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// `web` and the folders directly in it that have a lock file.
fn locked_folders(paths: &Paths) -> Vec<PathBuf> {
    let web = paths.root.join("web");
    let mut folders = vec![web.clone()];
    let entries = fs::read_dir(web).into_iter().flatten().flatten();
    folders
        .extend(entries.map(|entry| entry.path()).filter(|path| !path.ends_with("node_modules")));
    folders.retain(|folder| folder.join("package-lock.json").is_file());
    folders.sort();
    folders
}

/// npm leaves a copy of the lock when it is done.
fn is_installed(folder: &Path) -> bool {
    let done = changed(&folder.join("node_modules/.package-lock.json"));
    done.is_some() && done >= changed(&folder.join("package-lock.json"))
}

fn changed(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|data| data.modified()).ok()
}
