//! The cadence of checks: the scenes in JavaScript runtimes, and `cargo xtask lateness`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::paths::Paths;
use crate::run;
use crate::setup::{self, Component};
use crate::web;

/// What the scenes need in JavaScript runtimes.
pub(crate) const NEEDS: &[Component] = &[
    Component::WasmToolchain,
    Component::WasmBindgen,
    Component::NodePackages,
    Component::Chromium,
    Component::JsRuntimes,
];

/// The native runtime whose lines the others are compared with; its own suite compares the native
/// ones.
const NATIVE: &str = "tokio";

/// Builds the module, plays the scenes natively, then in every JavaScript runtime; programs are
/// started by `run`.
///
/// # Errors
///
/// What failed.
pub(crate) fn test(
    paths: &Paths,
    run: &mut dyn FnMut(&mut Command) -> Result<(), String>,
) -> Result<(), String> {
    let module = build(paths, run)?;
    let lines = paths.target.join("xtask").join("cadence-lines");
    // Lines of a scene that is no more would be taken for one that is missing.
    let _ = std::fs::remove_dir_all(&lines);
    let mut native = paths.cargo();
    native.args(["run", "--package", "portolan-cadence", "--", NATIVE]);
    run(native.arg(&lines))?;
    let mut node = script(paths, module, &["--test", "tests/cadence.mjs"]);
    run(node.env("PORTOLAN_CADENCE_LINES", lines))
}

/// `cargo xtask lateness [SECONDS]`: one table of all runtimes; one that cannot run here says why.
pub(crate) fn command(paths: &Paths, arguments: &[String]) -> ExitCode {
    let seconds = match arguments {
        [] => "30",
        [seconds] if seconds.parse::<u32>().is_ok_and(|seconds| seconds > 0) => seconds,
        _ => return crate::bad_usage("lateness: how many seconds, as a whole number"),
    };
    let mut native = paths.cargo();
    native.current_dir(paths.root.join("tests/bench"));
    native.args(["run", "--quiet", "--release", "--bin", "lateness", "--", seconds]);
    let native = run::foreground(&mut native);
    let missing = NEEDS.iter().find_map(|need| match setup::ensure(paths, *need) {
        outcome if outcome.is_there() => None,
        outcome => Some(format!("{need}: {outcome}")),
    });
    if let Some(missing) = missing {
        println!("JavaScript        skipped: {missing}");
        return native;
    }
    let module = match build(paths, &mut |command| run::quietly(command).map(|_| ())) {
        Ok(module) => module,
        Err(reason) => {
            eprintln!("error: {reason}");
            return ExitCode::FAILURE;
        }
    };
    match run::foreground(&mut script(paths, module, &["tests/lateness.mjs", seconds])) {
        ExitCode::SUCCESS => native,
        failed => failed,
    }
}

/// The module behind wasm-bindgen; answers its folder.
fn build(
    paths: &Paths,
    run: &mut dyn FnMut(&mut Command) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let module = web::compile(paths, "portolan-cadence", run)?;
    let folder = paths.target.join("xtask").join("cadence");
    web::bind(paths, &module, &folder, "portolan_cadence", run)?;
    Ok(folder)
}

fn script(paths: &Paths, module: PathBuf, arguments: &[&str]) -> Command {
    let mut node = Command::new("node");
    node.args(arguments).current_dir(paths.root.join("web"));
    node.env("PORTOLAN_CADENCE", module);
    node.env("PORTOLAN_RUNTIMES", paths.js_runtimes());
    if let Some(chromium) = setup::chromium() {
        node.env("PORTOLAN_CHROMIUM", chromium);
    }
    node
}
