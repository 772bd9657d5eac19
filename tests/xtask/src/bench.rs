//! `cargo xtask bench`: builds the measurements and runs them.

use std::process::ExitCode;

use crate::paths::Paths;
use crate::run;
use crate::setup;

/// The measurements of the engine alone; all others are the program's.
const ENGINE: &str = "engine";
/// The measurement of the program.
const BRIDGE: &str = "bridge";

/// The command line: names of measurements, none for all.
pub(crate) fn command(paths: &Paths, arguments: &[String]) -> ExitCode {
    let listed = arguments.iter().any(|word| word.starts_with('-'));
    if !listed {
        let mongod = setup::ensure(paths, setup::MONGOD);
        if !mongod.is_there() {
            eprintln!("{}: {mongod}", setup::MONGOD);
            return ExitCode::FAILURE;
        }
    }
    let (engine, others): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|name| *name == ENGINE);
    if listed || arguments.is_empty() || !others.is_empty() {
        eprintln!("... building the measurements; the first time that takes minutes");
        let mut program = cargo(paths, "run");
        if !listed && (others.is_empty() || others.iter().any(|name| *name == BRIDGE)) {
            let ended = build_program(paths);
            if ended != ExitCode::SUCCESS {
                return ended;
            }
            program.env("PORTOLAN_BIN", paths.target.join("release/portolan"));
        }
        let ended = run::foreground(program.args(["--bin", "portolan-bench", "--"]).args(others));
        if ended != ExitCode::SUCCESS {
            return ended;
        }
    }
    if !listed && (arguments.is_empty() || !engine.is_empty()) {
        println!("## {ENGINE}: the engine alone, each with its allocations");
        let mut program = cargo(paths, "bench");
        return run::foreground(program.args(["--bench", ENGINE]));
    }
    if listed {
        println!("\n  {ENGINE:<12} one hello applied to 50 members, selection among them");
    }
    ExitCode::SUCCESS
}

/// The program `portolan`, as its users have it: one of those that are measured.
fn build_program(paths: &Paths) -> ExitCode {
    let mut build = paths.cargo();
    build.args(["build", "--quiet", "--release", "--package", "portolan-bridge", "--bin"]);
    run::foreground(build.arg("portolan"))
}

/// Cargo on the workspace of the measurements.
fn cargo(paths: &Paths, verb: &str) -> std::process::Command {
    let mut command = paths.cargo();
    command.args([verb, "--quiet"]);
    if verb == "run" {
        command.arg("--release");
    }
    command.arg("--manifest-path").arg(paths.root.join("tests/bench/Cargo.toml"));
    // A build folder of its own: the lock file is another, and so are the crates.
    command.env("CARGO_TARGET_DIR", paths.target.join("bench"));
    if let Some(specifications) = paths.specifications() {
        command.env("MONGODB_SPECIFICATIONS", specifications);
    }
    let memory = std::path::Path::new("/dev/shm");
    if std::env::var_os("PORTOLAN_DATA").is_none() && memory.is_dir() {
        // Disks have no part in the figures.
        command.env("PORTOLAN_DATA", memory);
    }
    command
}
