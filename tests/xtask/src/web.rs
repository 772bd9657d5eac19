//! `cargo xtask web`: the wasm module, the npm package and the dashboard.
//!
//! Cargo knows what of Rust is stale; the steps after it are repeated only when an input changed.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::likeness::named_by_place;
use crate::paths::Paths;
use crate::run;
use crate::setup::{self, Component};
use crate::squeeze::{renamed, squeezed};
use crate::wasm::{TLS, Toolchain};

/// What a build of the web parts needs.
pub(crate) const NEEDS: &[Component] =
    &[Component::WasmToolchain, Component::WasmC, Component::WasmBindgen, Component::NodePackages];

/// The command line.
pub(crate) fn command(paths: &Paths, arguments: &[String]) -> ExitCode {
    if let Some(argument) = arguments.first() {
        return crate::bad_usage(&format!("web: unknown argument {argument}"));
    }
    for component in NEEDS {
        let outcome = setup::ensure(paths, *component);
        if !outcome.is_there() {
            eprintln!("{component}: {outcome}");
            return ExitCode::FAILURE;
        }
    }
    match build(paths, &mut |command| run::quietly(command).map(|_| ())) {
        Ok(()) => {
            println!("{}", dashboard(paths).display());
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// What rustc and wasm-bindgen use; not "all", which lets the optimiser use what engines lack.
const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// For the least bytes after compression: a function that stays apart is much like others, and
/// costs less than the same inlined into its one caller. Nothing lies in the first KiB of memory.
const SMALLEST: [&str; 5] = [
    "-Oz",
    "--converge",
    "--low-memory-unused",
    "--one-caller-inline-max-function-size=0",
    "--always-inline-max-function-size=4",
];

/// Where the built dashboard is.
pub(crate) fn dashboard(paths: &Paths) -> PathBuf {
    paths.root.join("web/dashboard/dist")
}

/// Builds all of it, each program started by `run`.
///
/// # Errors
///
/// What failed.
pub(crate) fn build(
    paths: &Paths,
    run: &mut dyn FnMut(&mut Command) -> Result<(), String>,
) -> Result<(), String> {
    let web = paths.root.join("web");
    let module = compile(paths, "portolan-web", run)?;
    let stamp = web.join("pkg/.stamp");
    let tls = compile(paths, TLS, run)?;
    let wanted = fingerprint(&[module.clone(), tls.clone(), web.clone()])?;
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) && dashboard(paths).is_dir() {
        return Ok(());
    }
    let _ = fs::remove_file(&stamp);
    for (module, name) in [(module, "portolan_web"), (tls, "portolan_tls")] {
        bind(paths, &module, &web.join("pkg"), name, run)?;
        shrink(&web, name, run)?;
    }
    for folder in [web.clone(), web.join("dashboard")] {
        run(Command::new("npm").args(["run", "build"]).current_dir(folder))?;
    }
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// Makes the module `name` as small as it gets, in its place.
fn shrink(
    web: &Path,
    name: &str,
    run: &mut dyn FnMut(&mut Command) -> Result<(), String>,
) -> Result<(), String> {
    let of_package = |end: &str| web.join("pkg").join(format!("{name}{end}"));
    let module = &of_package("_bg.wasm");
    // npm's binaryen: Debian's is too old for the tables that wasm-bindgen makes.
    let optimizer = web.join("node_modules/.bin/wasm-opt");
    let mut pass = |passes: &[&str]| {
        let mut optimize = Command::new(&optimizer);
        run(optimize.args(passes).args(WASM_FEATURES).arg(module).arg("-o").arg(module))
    };
    pass(&SMALLEST)?;
    let shown = |error| format!("{}: {error}", module.display());
    let (squeezed, names) = squeezed(&read(module)?).map_err(shown)?;
    for script in [of_package(".js"), of_package("_bg.wasm.d.ts")] {
        let text = String::from_utf8_lossy(&read(&script)?).into_owned();
        write(&script, renamed(&text, &names).as_bytes())?;
    }
    write(module, &named_by_place(&squeezed).map_err(shown)?)?;
    pass(&["--reorder-functions-by-name"])
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{}: {error}", file.display()))
}

fn write(file: &Path, content: &[u8]) -> Result<(), String> {
    fs::write(file, content).map_err(|error| format!("{}: {error}", file.display()))
}

/// Only the npm package's scripts, which need no wasm to be built.
///
/// # Errors
///
/// What failed.
pub(crate) fn package(paths: &Paths) -> Result<(), String> {
    let mut build = Command::new("npm");
    run::quietly(build.args(["run", "build"]).current_dir(paths.root.join("web"))).map(|_| ())
}

/// Compiles `package` for wasm32 and answers its module.
pub(crate) fn compile(
    paths: &Paths,
    package: &str,
    run: &mut dyn FnMut(&mut Command) -> Result<(), String>,
) -> Result<PathBuf, String> {
    let toolchain = Toolchain::find().ok_or("there is no wasm toolchain")?;
    let (mut command, output) = toolchain.build(paths, package);
    run(command.args(["--profile", "wasm", "--lib"]))?;
    let name = if package == TLS { "portolan_tls".to_owned() } else { package.replace('-', "_") };
    let module = output.join("wasm").join(format!("{name}.wasm"));
    if module.is_file() {
        return Ok(module);
    }
    Err(format!("{} was not built", module.display()))
}

/// Writes the JavaScript side of `module` into `folder`.
pub(crate) fn bind(
    paths: &Paths,
    module: &Path,
    folder: &Path,
    name: &str,
    run: &mut dyn FnMut(&mut Command) -> Result<(), String>,
) -> Result<(), String> {
    let version = paths.wasm_bindgen_version().ok_or("Cargo.lock names no wasm-bindgen")?;
    let mut command = Command::new(paths.wasm_bindgen(&version));
    command.args(["--target", "web", "--out-name", name, "--out-dir"]).arg(folder).arg(module);
    run(&mut command)
}

/// A text that changes when any file below `inputs` does.
fn fingerprint(inputs: &[PathBuf]) -> Result<String, String> {
    let mut files = BTreeSet::new();
    for input in inputs {
        collect(input, &mut files);
    }
    let mut hasher = DefaultHasher::new();
    for file in files {
        let content = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        (file, content).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The files below `path` that people write, not those that builds and npm make.
fn collect(path: &Path, files: &mut BTreeSet<PathBuf>) {
    const MADE: [&str; 6] = ["node_modules", "pkg", "dist", "tests", "output", "target"];
    if path.is_file() {
        files.insert(path.to_owned());
    }
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if !MADE.iter().any(|name| entry.file_name() == *name) {
            collect(&entry.path(), files);
        }
    }
}
