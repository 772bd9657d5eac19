//! Node.js and the packages that `web` locks.

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
    match node_version() {
        Some(version) if version >= OLDEST_NODE && on_path("npm").is_some() => {}
        Some(version) if version >= OLDEST_NODE => {
            return Outcome::cannot("there is no npm", "install npm with Node.js");
        }
        version => {
            let found = version.map_or("no Node.js".into(), |version| format!("Node.js {version}"));
            return Outcome::cannot(
                format!("{found} is here; {OLDEST_NODE} or newer is needed"),
                "install Node.js 20 or newer with npm",
            );
        }
    }
    let stale: Vec<_> = locked_folders(paths).into_iter().filter(|f| !is_installed(f)).collect();
    let place = paths.root.join("web").join("node_modules");
    if stale.is_empty() {
        return Outcome::have(&place);
    }
    for folder in stale {
        announce(&format!("npm ci in {}", folder.display()));
        let mut command = Command::new("npm");
        command.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
        if let Err(reason) = run::quietly(&mut command) {
            return Outcome::cannot(reason, format!("cd {} && npm ci", folder.display()));
        }
    }
    Outcome::installed(&place)
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
