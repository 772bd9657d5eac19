//! Running programs: quietly, in the foreground, or into a log with a deadline.

use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a logged program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With status 0.
    Well,
    /// With another status, or by a signal, or it did not start.
    Badly,
    /// It was stopped at its deadline.
    TooLate,
}

/// Runs `command` to its end and answers its standard output.
///
/// # Errors
///
/// Its last words, on one line, when it does not start or does not end with status 0.
pub(crate) fn quietly(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    let mut words = said.lines().filter(|line| !line.trim().is_empty());
    let error = words.clone().find(|line| line.to_lowercase().contains("error"));
    let last = error.or(words.next_back()).unwrap_or("it said nothing").trim().to_owned();
    Err(format!("{name} ({}): {last}", output.status))
}

/// Runs `command` with this program's own input and output.
pub(crate) fn foreground(command: &mut Command) -> ExitCode {
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("{}: {error}", command.get_program().to_string_lossy());
            ExitCode::FAILURE
        }
    }
}

/// Runs `command` with its output into the file `log`, at most for `limit`.
pub(crate) fn logged(command: &mut Command, log: &Path, limit: Duration) -> Ended {
    let Ok(file) = File::options().create(true).append(true).open(log) else {
        return Ended::Badly;
    };
    let Ok(errors) = file.try_clone() else {
        return Ended::Badly;
    };
    command.stdin(Stdio::null()).stdout(file).stderr(errors);
    // In a group of its own where no terminal would interrupt it, so that all of it can be stopped.
    let grouped = std::env::var_os("CI").is_some();
    #[cfg(unix)]
    if grouped {
        std::os::unix::process::CommandExt::process_group(command, 0);
    }
    let Ok(mut child) = command.spawn() else {
        return Ended::Badly;
    };
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ended::Well,
            Ok(Some(_)) | Err(_) => return Ended::Badly,
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            Ok(None) => {
                if grouped {
                    let kill = format!("kill -9 -{}", child.id());
                    let _ = Command::new("sh").args(["-c", &kill]).status();
                }
                let _ = child.kill();
                let _ = child.wait();
                return Ended::TooLate;
            }
        }
    }
}
