//! The program `portolan`: watch, replay, explain, ping, bridge and demo.
//!
//! Results go to standard output, errors to standard error. Exit status: 0 done, 1 the operation
//! failed, 2 bad usage.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]
#![allow(clippy::print_stderr, reason = "where a program says its errors")]

mod cli;

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::Parser as _;
use tokio::runtime::Builder;

use cli::args::{Args, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    // MONGODB_LOG_ALL=debug and its like; nothing has set a default before.
    // The bridge has one log for both.
    let is_bridge = matches!(args.command, Command::Bridge(_));
    if !is_bridge && let Err(error) = portolan::logging::init_from_env() {
        eprintln!("portolan: no log: {error}");
    }
    // Where there is one CPU, threads would only pass the work to each other.
    let mut runtime = match thread::available_parallelism() {
        Ok(cpus) if cpus.get() == 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("portolan: no threads for the runtime: {error}");
            return ExitCode::from(1);
        }
    };
    let done = runtime.block_on(async {
        match args.command {
            Command::Watch(args) => cli::watch::run(args).await,
            Command::Replay(args) => cli::replay::run(&args),
            Command::Explain(args) => cli::explain::run(args).await,
            Command::Ping(args) => cli::ping::run(args).await,
            Command::Bridge(args) => cli::bridge::run(*args).await,
            Command::Demo(args) => cli::demo::run(args).await,
        }
    });
    runtime.shutdown_timeout(LAST_TASKS);
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("portolan: {failure}");
            failure.exit_code()
        }
    }
}

/// What tasks that are still busy get to finish, at most.
const LAST_TASKS: Duration = Duration::from_secs(2);
