//! The program's subcommands, and what they share.

pub(crate) mod args;
pub(crate) mod bridge;
pub(crate) mod demo;
pub(crate) mod explain;
mod log;
pub(crate) mod mongod;
pub(crate) mod ping;
mod redact;
pub(crate) mod replay;
mod settings;
pub(crate) mod simulated;
pub(crate) mod text;
pub(crate) mod watch;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use portolan::options::ClientOptions;
use portolan::{Client, Driver};
use portolan_tokio::Tokio;

/// Why a subcommand did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operation failed: exit status 1.
    Failed(String),
    /// The command line cannot be meant so: exit status 2.
    Usage(String),
}

impl Failure {
    /// The program's exit status.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Usage(text) => f.write_str(text),
        }
    }
}

/// An operation's error as a [`Failure`].
pub(crate) fn failed(error: impl fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

/// The options of a connection string; says its warnings.
pub(crate) fn options(uri: &str) -> Result<ClientOptions, Failure> {
    let options = ClientOptions::parse(uri).map_err(|error| Failure::Usage(error.to_string()))?;
    for warning in &options.warnings {
        eprintln!("portolan: warning: {warning}");
    }
    Ok(options)
}

/// A client whose driver is not spawned yet, so that its first events can be heard.
pub(crate) async fn client(options: ClientOptions) -> Result<(Client, Driver), Failure> {
    let transport = Arc::new(Tokio::new());
    let options = options.resolve(&*transport).await.map_err(failed)?;
    Client::new(options, transport).map_err(failed)
}

/// Prints a line of the result; whether somebody still reads.
pub(crate) fn say(line: impl fmt::Display) -> Result<bool, Failure> {
    match writeln!(io::stdout().lock(), "{line}") {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Ends when the program is asked to: Ctrl-C, or SIGTERM where there is one.
pub(crate) async fn asked_to_stop() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = interrupt.await;
}
