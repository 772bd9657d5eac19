//! `cargo xtask setup`: what the tests and the demo need, installed once and kept.
//!
//! Each component is looked for first and installed only when absent. Nothing that cannot be
//! installed is passed over in silence: its line says why, and the command that would help.

mod apt;
mod bridges;
mod mongod;
mod node;
mod tools;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::paths::Paths;

/// Something that is not part of a Rust toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Component {
    /// A MongoDB server of this version.
    Mongod(&'static str),
    /// A compiler for wasm32.
    WasmToolchain,
    /// A compiler of C for wasm32.
    WasmC,
    /// The wasm-bindgen program of the version in the lock file.
    WasmBindgen,
    /// A browser.
    Chromium,
    /// Node.js and the packages of `web`.
    NodePackages,
    /// Deno, Bun and workerd.
    JsRuntimes,
    /// The drivers' specifications with their JSON tests.
    Specifications,
    /// Bridges of others, to measure ours beside.
    Websockify,
    Ws,
    Websocat,
}

/// The server that every live test runs on.
pub(crate) const MONGOD: Component = Component::Mongod("6.0.5");
/// Servers that live tests run on, too, where versions differ.
pub(crate) const MONGOD_5_0: Component = Component::Mongod("5.0.4");
pub(crate) const MONGOD_4_4: Component = Component::Mongod("4.4.2");
/// What `--all` adds.
const MORE: [Component; 3] = [MONGOD_5_0, MONGOD_4_4, Component::JsRuntimes];
/// What `--bridges` adds.
const BRIDGES: [Component; 3] = [Component::Websockify, Component::Ws, Component::Websocat];
const USUAL: [Component; 7] = [
    MONGOD,
    Component::WasmToolchain,
    Component::WasmC,
    Component::WasmBindgen,
    Component::Chromium,
    Component::NodePackages,
    Component::Specifications,
];

/// What became of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was there; where.
    Have(String),
    /// It is there now; where.
    Installed(String),
    /// It is not, why, and the command that would enable it.
    Cannot { reason: String, command: String },
}

impl Outcome {
    pub(crate) fn have(path: &std::path::Path) -> Self {
        Self::Have(path.display().to_string())
    }

    pub(crate) fn installed(path: &std::path::Path) -> Self {
        Self::Installed(path.display().to_string())
    }

    pub(crate) fn cannot(reason: impl Into<String>, command: impl Into<String>) -> Self {
        Self::Cannot { reason: reason.into(), command: command.into() }
    }

    pub(crate) fn is_there(&self) -> bool {
        !matches!(self, Self::Cannot { .. })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Have(place) => write!(f, "have       {place}"),
            Self::Installed(place) => write!(f, "installed  {place}"),
            Self::Cannot { reason, command } => write!(f, "cannot     {reason}; try: {command}"),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Mongod(version) => return f.pad(&format!("mongod {version}")),
            Self::WasmToolchain => "wasm toolchain",
            Self::WasmC => "clang for wasm",
            Self::WasmBindgen => "wasm-bindgen",
            Self::Chromium => "Chromium",
            Self::NodePackages => "npm packages",
            Self::JsRuntimes => "JS runtimes",
            Self::Specifications => "specifications",
            Self::Websockify => "websockify",
            Self::Ws => "Node ws",
            Self::Websocat => "websocat",
        };
        f.pad(text)
    }
}

/// The command line.
pub(crate) fn command(paths: &Paths, arguments: &[String]) -> ExitCode {
    let mut components = USUAL.to_vec();
    let mut clone = false;
    for argument in arguments {
        match argument.as_str() {
            "--all" => components.extend(MORE),
            "--bridges" => components.extend(BRIDGES),
            "--specifications" => clone = true,
            _ => return crate::bad_usage(&format!("setup: unknown argument {argument}")),
        }
    }
    if clone && let Err(reason) = tools::clone_specifications(paths) {
        eprintln!("cannot clone the specifications: {reason}");
    }
    let mut complete = true;
    for component in components {
        let outcome = ensure(paths, component);
        complete &= outcome.is_there();
        println!("{component:<16} {outcome}");
    }
    if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Installs `component` unless it is there.
pub(crate) fn ensure(paths: &Paths, component: Component) -> Outcome {
    match component {
        Component::Mongod(version) => mongod::ensure(paths, version),
        Component::WasmToolchain => tools::wasm_toolchain(),
        Component::WasmC => tools::wasm_c(),
        Component::WasmBindgen => tools::wasm_bindgen(paths),
        Component::Chromium => tools::chromium(),
        Component::NodePackages => node::packages(paths),
        Component::JsRuntimes => node::runtimes(paths),
        Component::Specifications => tools::specifications(paths),
        Component::Websockify => bridges::websockify(paths),
        Component::Ws => bridges::ws(paths),
        Component::Websocat => bridges::websocat(paths),
    }
}

/// The browser, where [`Component::Chromium`] is there.
pub(crate) fn chromium() -> Option<PathBuf> {
    tools::find_chromium()
}

/// Says on the standard error that something slow begins.
fn announce(what: &str) {
    eprintln!("... {what}");
}
