//! `cargo xtask`: set-up, servers, demo, builds and tests of Portolan.
//!
//! Each command says what it does, changes nothing when nothing is to do, and names the command
//! that would enable what it could not do.

// A program: its output is for a person.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod cadence;
mod count;
mod demo;
mod fuzz;
mod likeness;
mod paths;
mod report;
mod run;
mod setup;
mod squeeze;
mod suite;
mod suites;
mod wasm;
mod web;

use std::process::ExitCode;

use crate::paths::Paths;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let paths = Paths::find();
    match command.as_str() {
        "setup" => setup::command(&paths, &rest),
        "servers" => servers(&paths, &rest),
        "web" => web::command(&paths, &rest),
        "demo" => demo::command(&paths, &rest),
        "lateness" => cadence::command(&paths, &rest),
        "test" => suites::command(&paths, &rest),
        "fuzz" => fuzz::command(&paths, &rest),
        "bench" => bench::command(&paths, &rest),
        "" | "help" | "--help" | "-h" => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => bad_usage(&format!("unknown command {command}")),
    }
}

/// Starts a replica set; a program of the support crate does it, so that this one needs no BSON.
fn servers(paths: &Paths, arguments: &[String]) -> ExitCode {
    let mut command = paths.cargo();
    command.args(["run", "--quiet", "--package", "portolan-support", "--bin", "portolan-servers"]);
    run::foreground(command.arg("--").args(arguments))
}

fn bad_usage(message: &str) -> ExitCode {
    eprintln!("{message}\n\n{HELP}");
    ExitCode::from(2)
}

const HELP: &str = "\
usage: cargo xtask COMMAND

  setup [--all] [--bridges] [--specifications]
                 installs what the tests and the demo need: mongod, the wasm toolchain,
                 wasm-bindgen, Chromium, npm packages; --all adds older servers, Deno, Bun and
                 workerd; --bridges adds websockify, Node's ws and websocat, which `bench bridge`
                 measures; --specifications clones the drivers' specifications into the cache
  servers [--version V] [--members N] [--port P] [--name NAME] [--tags TAGS]...
                 starts a replica set, prints its connection string, stops it at Ctrl-C
  web            builds the wasm module, the npm package and the dashboard
  lateness [SECONDS]
                 how late heartbeats start on each runtime, as a table
  demo [ARG]...  builds everything, starts a set, the bridge and the dashboard
  test [SUITE]...
                 every check and every suite, or only those named; `test --list` names them
  fuzz [TARGET]... [--seconds N]
                 searches for inputs that break a promise of the tunnel, OP_MSG, the hello reply,
                 the connection string or BSON in JavaScript, a minute each unless told otherwise
  bench [NAME]...
                 measures Portolan beside the official driver and raw sockets, and prints the
                 tables: all of them, or only those named; `bench --list` names them";
