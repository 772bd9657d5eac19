//! Stops what a dead process left behind.
//!
//! A test that is killed drops nothing. Linux could signal the children of a dead parent, but only
//! through an unsafe call between fork and exec, and only Linux. Instead one small shell per set
//! waits for the end of its standard input, which comes when this process ends in whatever way;
//! then it kills the processes whose ids it finds, when they still are of this set, and removes the
//! data.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::{Error, Result};

/// A shell that outlives this process just long enough to clean up after it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Watches over the processes whose ids are in `folder/*.pid`, each of which names `folder` in
    /// its arguments, and over `folder` itself.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "portolan-watchdog"]).arg(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let shell = command.spawn().map_err(Error::io("starting the watchdog"))?;
        Ok(Self { shell })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for file in "$1"/*.pid; do
    [ -f "$file" ] || continue
    pid=$(cat "$file")
    arguments=$(ps -o args= -p "$pid" 2>/dev/null || tr '\0' ' ' <"/proc/$pid/cmdline")
    case "$arguments" in
        *"$1"*) kill -9 "$pid" ;;
    esac
done
rm -rf "$1"
"#;
