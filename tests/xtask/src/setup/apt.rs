//! Debian's packages, where this is Debian and we may install.

use std::process::Command;
use std::sync::OnceLock;

use super::announce;
use crate::paths::on_path;
use crate::run;

/// Installs `packages`.
///
/// # Errors
///
/// Why not, in a few words; [`by_hand`] is the command that a person would give.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    if on_path("apt-get").is_none() {
        return Err("there is no apt-get here".into());
    }
    if run::quietly(Command::new("id").arg("-u"))?.trim() != "0" {
        return Err("apt-get needs root".into());
    }
    update()?;
    announce(&format!("apt-get install {}", packages.join(" ")));
    let mut command = apt_get();
    command.args(["install", "-y", "--no-install-recommends"]).args(packages);
    run::quietly(&mut command).map(|_| ())
}

/// The command that installs `packages`.
pub(crate) fn by_hand(packages: &[&str]) -> String {
    format!("sudo apt-get install {}", packages.join(" "))
}

/// Fetches the lists, once in this run: a fresh machine has none, an old one's name old versions.
fn update() -> Result<(), String> {
    static DONE: OnceLock<Result<(), String>> = OnceLock::new();
    DONE.get_or_init(|| {
        announce("apt-get update");
        run::quietly(apt_get().arg("update")).map(|_| ())
    })
    .clone()
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    // Another installation may hold the lock for a while at the start of a machine.
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    command
}
