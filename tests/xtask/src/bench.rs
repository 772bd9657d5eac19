//! `cargo xtask bench`: builds the measurements and runs them.

use std::process::{Command, ExitCode};

use crate::paths::Paths;
use crate::run;
use crate::setup::{self, Component};
use crate::web;

/// The measurements of the engine alone; all others are the program's.
const ENGINE: &str = "engine";
/// The measurement of the program.
const BRIDGE: &str = "bridge";
/// The measurement of the npm package, and of its peer.
const JAVASCRIPT: &str = "javascript";

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
        let wanted =
            |name: &str| !listed && (others.is_empty() || others.iter().any(|word| *word == name));
        if wanted(BRIDGE) || wanted(JAVASCRIPT) {
            let ended = build_program(paths);
            if ended != ExitCode::SUCCESS {
                return ended;
            }
            program.env("PORTOLAN_BIN", paths.target.join("release/portolan"));
        }
        if wanted(JAVASCRIPT)
            && let Err(reason) = javascript(paths, &mut program)
        {
            eprintln!("error: {reason}");
            return ExitCode::FAILURE;
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

/// What the measurement of the npm package needs: the package, its peer, a browser, and the module
/// that derives keys for it.
fn javascript(paths: &Paths, program: &mut Command) -> Result<(), String> {
    for component in web::NEEDS.iter().copied().chain([Component::Chromium]) {
        let outcome = setup::ensure(paths, component);
        if !outcome.is_there() {
            return Err(format!("{component}: {outcome}"));
        }
    }
    let mut quietly = |command: &mut Command| run::quietly(command).map(|_| ());
    web::build(paths, &mut quietly)?;
    let module = web::compile(paths, "portolan-conformance", &mut quietly)?;
    let folder = paths.target.join("xtask/conformance");
    web::bind(paths, &module, &folder, "portolan_conformance", &mut quietly)?;
    let script = paths.root.join("tests/bench/javascript");
    let arguments = ["ci", "--no-audit", "--no-fund"];
    run::quietly(Command::new("npm").args(arguments).current_dir(&script))?;
    program.env("PORTOLAN_BENCH_JAVASCRIPT", script.join("main.mjs"));
    program.env("PORTOLAN_CONFORMANCE", folder);
    Ok(())
}

/// Cargo on the workspace of the measurements.
fn cargo(paths: &Paths, verb: &str) -> Command {
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
