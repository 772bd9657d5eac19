//! `cargo xtask test`: every check and every suite, in the order of what fails soonest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::cadence;
use crate::paths::Paths;
use crate::report::Report;
use crate::setup::{self, Component, MONGOD, MONGOD_4_4, MONGOD_5_0, Outcome};
use crate::suite::{Kind, Log, Suite, Verdict};
use crate::wasm;
use crate::web;

/// Every suite. A root test target that no row here names belongs to `core`.
const SUITES: &[Suite] = &[
    Suite { name: "fmt", about: "rustfmt", needs: &[], kind: Kind::Check, work: formatted },
    Suite {
        name: "clippy",
        about: "clippy, warnings are errors",
        needs: &[],
        kind: Kind::Check,
        work: clippy,
    },
    Suite {
        name: "docs",
        about: "rustdoc, warnings are errors",
        needs: &[],
        kind: Kind::Check,
        work: docs,
    },
    Suite {
        name: "unit",
        about: "unit tests of every crate",
        needs: &[],
        kind: Kind::Tests,
        work: |paths, log| log.run(cargo_test(paths).args(["--lib", "--bins"])),
    },
    Suite {
        name: "doc",
        about: "examples in the documentation, and that the example programs compile",
        needs: &[],
        kind: Kind::Tests,
        work: documentation,
    },
    Suite {
        name: "tidy",
        about: "sizes, words, dependencies, and a test for every acceptance row",
        needs: &[],
        kind: Kind::Tests,
        work: |paths, log| {
            log.run(cargo_test(paths).args(["--test", "tidy", "--test", "features"]))
        },
    },
    Suite {
        name: "spec",
        about: "the drivers' JSON tests, natively",
        needs: &[Component::Specifications],
        kind: Kind::Tests,
        work: |paths, log| log.run(cargo_test(paths).args(["--test", "spec"])),
    },
    Suite {
        name: "core",
        about: "other tests of the core crate",
        needs: &[],
        kind: Kind::Tests,
        work: |paths, log| log.run(targets(&mut cargo_test(paths), core_targets(paths))),
    },
    Suite {
        name: "cadence",
        about: "one scripted deployment on async-std, smol and tokio: the same engine actions",
        needs: &[],
        kind: Kind::Tests,
        work: |paths, log| log.run(cargo_test(paths).args(["--test", "cadence"])),
    },
    Suite {
        name: "transports",
        about: "transports, tunnel and bridge",
        needs: &[MONGOD],
        kind: Kind::Tests,
        work: |paths, log| log.run(targets(&mut cargo_test(paths), transport_targets(paths))),
    },
    Suite {
        name: "fuzzed",
        about: "the inputs that fuzzing found, and those that a person would try first",
        needs: &[],
        kind: Kind::Tests,
        work: |paths, log| log.run(cargo_test(paths).args(["--test", "regressions"])),
    },
    Suite {
        name: "support",
        about: "the set that tests start",
        needs: &[MONGOD],
        kind: Kind::Tests,
        work: |paths, log| log.run(cargo_test(paths).args(["--test", "replica_set"])),
    },
    Suite {
        name: "live",
        about: "the driver against real servers",
        needs: &[MONGOD],
        kind: Kind::Tests,
        work: |paths, log| log.run(live(paths).env("PORTOLAN_LIVE_MONGOD", "6.0.5")),
    },
    Suite {
        name: "live-5.0",
        about: "the same on mongod 5.0.4, but for what no version changes",
        needs: &[MONGOD_5_0],
        kind: Kind::Tests,
        work: |paths, log| log.run(older(&mut live(paths)).env("PORTOLAN_LIVE_MONGOD", "5.0.4")),
    },
    Suite {
        name: "live-4.4",
        about: "the same on mongod 4.4.2, but for what no version changes",
        needs: &[MONGOD_4_4],
        kind: Kind::Tests,
        work: |paths, log| log.run(older(&mut live(paths)).env("PORTOLAN_LIVE_MONGOD", "4.4.2")),
    },
    Suite {
        name: "unified",
        about: "the drivers' unified tests, against real servers",
        needs: &[Component::Specifications, MONGOD],
        kind: Kind::Tests,
        work: |paths, log| log.run(cargo_test(paths).args(["--test", "unified"])),
    },
    Suite {
        name: "wasm",
        about: "the core for wasm32, without imports from `env`",
        needs: &[Component::WasmToolchain, Component::WasmC],
        kind: Kind::Check,
        work: without_env,
    },
    Suite {
        name: "web",
        about: "wasm module, npm package, dashboard",
        needs: web::NEEDS,
        kind: Kind::Check,
        work: |paths, log| web::build(paths, &mut |command| log.run(command)),
    },
    Suite {
        name: "web-unit",
        about: "unit tests of the npm package, in Node.js",
        needs: UNIT,
        kind: Kind::Tests,
        work: |paths, log| {
            web::build(paths, &mut |command| log.run(command))?;
            npm(paths, log, "test:unit")
        },
    },
    Suite {
        name: "web-spec",
        about: "the same JSON tests as wasm, in Chromium",
        needs: CONFORMANCE,
        kind: Kind::Tests,
        work: conformance,
    },
    Suite {
        name: "web-cadence",
        about: "the same scripted deployment in each JavaScript runtime: the same engine actions",
        needs: cadence::NEEDS,
        kind: Kind::Tests,
        work: |paths, log| cadence::test(paths, &mut |command| log.run(command)),
    },
    Suite {
        name: "web-e2e",
        about: "page, bridge and a real set, in Chromium",
        needs: END_TO_END,
        kind: Kind::Tests,
        work: |paths, log| with_bridge(paths, log, "test:e2e"),
    },
    Suite {
        name: "web-runtimes",
        about: "one suite on Node, Deno, Bun, workerd and Chromium, against a real set",
        needs: RUNTIMES,
        kind: Kind::Tests,
        work: |paths, log| with_bridge(paths, log, "test:runtimes"),
    },
];

const UNIT: &[Component] = &[
    Component::WasmToolchain,
    Component::WasmC,
    Component::WasmBindgen,
    Component::NodePackages,
    Component::Specifications,
];
const CONFORMANCE: &[Component] = &[
    Component::WasmToolchain,
    Component::WasmC,
    Component::WasmBindgen,
    Component::NodePackages,
    Component::Chromium,
    Component::Specifications,
];
const END_TO_END: &[Component] = &[
    MONGOD,
    Component::WasmToolchain,
    Component::WasmC,
    Component::WasmBindgen,
    Component::NodePackages,
    Component::Chromium,
];

const RUNTIMES: &[Component] = &[
    MONGOD,
    Component::WasmToolchain,
    Component::WasmC,
    Component::WasmBindgen,
    Component::NodePackages,
    Component::Chromium,
    Component::JsRuntimes,
];

/// The command line.
pub(crate) fn command(paths: &Paths, arguments: &[String]) -> ExitCode {
    if arguments.iter().any(|argument| argument == "--list") {
        for suite in SUITES {
            println!("{:<12} {}", suite.name, suite.about);
        }
        return ExitCode::SUCCESS;
    }
    if let Some(name) = arguments.iter().find(|name| !SUITES.iter().any(|s| s.name == **name)) {
        return crate::bad_usage(&format!("test: no suite is called {name}"));
    }
    let chosen = |suite: &&Suite| arguments.is_empty() || arguments.iter().any(|a| a == suite.name);
    let strict = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    let mut report = Report::new(paths, strict);
    let mut components = Components { paths, known: Vec::new() };
    for suite in SUITES.iter().filter(chosen).filter(|suite| exists(paths, suite.name)) {
        let verdict = components.missing(suite).unwrap_or_else(|| suite.run(paths));
        report.add(suite, verdict);
    }
    if report.close() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was installed or not in this run, each component asked for once.
struct Components<'a> {
    paths: &'a Paths,
    known: Vec<(Component, Outcome)>,
}

impl Components<'_> {
    /// Installs what `suite` needs; a verdict when something cannot be.
    fn missing(&mut self, suite: &Suite) -> Option<Verdict> {
        suite.needs.iter().find_map(|component| match self.outcome(*component) {
            Outcome::Cannot { reason, command } => {
                Some(Verdict::Skipped { reason: format!("{component}: {reason}"), command })
            }
            _ => None,
        })
    }

    fn outcome(&mut self, component: Component) -> Outcome {
        if let Some((_, outcome)) = self.known.iter().find(|(known, _)| *known == component) {
            return outcome.clone();
        }
        let outcome = setup::ensure(self.paths, component);
        if let Outcome::Installed(_) = outcome {
            println!("{component}: {outcome}");
        }
        self.known.push((component, outcome.clone()));
        outcome
    }
}

/// Rows whose tests are named by folders are there only when there are such tests.
fn exists(paths: &Paths, suite: &str) -> bool {
    match suite {
        "core" => !core_targets(paths).is_empty(),
        "transports" => !transport_targets(paths).is_empty(),
        _ => true,
    }
}

/// Cargo sees one workspace at a time.
const WORKSPACES: [&str; 3] =
    ["Cargo.toml", "tests/bench/Cargo.toml", "tests/fuzz/targets/Cargo.toml"];

fn formatted(paths: &Paths, log: &mut Log) -> Result<(), String> {
    WORKSPACES.iter().try_for_each(|manifest| {
        log.run(paths.cargo().args(["fmt", "--all", "--check", "--manifest-path", manifest]))
    })
}

fn clippy(paths: &Paths, log: &mut Log) -> Result<(), String> {
    let mut command = paths.cargo();
    log.run(command.args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn docs(paths: &Paths, log: &mut Log) -> Result<(), String> {
    let mut command = paths.cargo();
    command.env("RUSTDOCFLAGS", "-D warnings");
    log.run(command.args(["doc", "--workspace", "--no-deps"]))
}

fn documentation(paths: &Paths, log: &mut Log) -> Result<(), String> {
    log.run(paths.cargo().args(["build", "--workspace", "--examples"]))?;
    log.run(cargo_test(paths).arg("--doc"))
}

/// One set of features for every suite, so that nothing is compiled twice.
fn cargo_test(paths: &Paths) -> Command {
    let mut command = paths.cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if let Some(specifications) = paths.specifications() {
        command.env("MONGODB_SPECIFICATIONS", specifications);
    }
    command
}

/// Real servers, of at most three sets at a time: the tests wait more than they work.
fn live(paths: &Paths) -> Command {
    let mut command = cargo_test(paths);
    command.args(["--test", "live", "--", "--test-threads=3"]);
    command
}

/// Without the tests that no version of the server changes: those against scripted servers, and
/// those of minutes, in which only the client's own arithmetic differs from shorter ones.
fn older(live: &mut Command) -> &mut Command {
    live.args(["--skip", "hostile::", "--skip", "behind::"])
}

fn targets(command: &mut Command, names: Vec<String>) -> &mut Command {
    for name in names {
        command.args(["--test", &name]);
    }
    command
}

/// The root's test targets without a row of their own.
fn core_targets(paths: &Paths) -> Vec<String> {
    let manifest = fs::read_to_string(paths.root.join("Cargo.toml")).unwrap_or_default();
    let names = manifest.split("[[test]]").skip(1).filter_map(|target| {
        let (_, name) = target.split_once("name = \"")?;
        name.split_once('"').map(|(name, _)| name.to_owned())
    });
    names.filter(|name| !SUITES.iter().any(|suite| suite.name == name)).collect()
}

fn transport_targets(paths: &Paths) -> Vec<String> {
    let mut names = Vec::new();
    let transports = fs::read_dir(paths.root.join("transports")).into_iter().flatten().flatten();
    for package in transports {
        for file in fs::read_dir(package.path().join("tests")).into_iter().flatten().flatten() {
            let path = file.path();
            let is_target = path.extension().is_some_and(|extension| extension == "rs")
                || path.join("main.rs").is_file();
            if let (true, Some(stem)) = (is_target, path.file_stem().and_then(|stem| stem.to_str()))
            {
                names.push(stem.to_owned());
            }
        }
    }
    names.sort();
    names.dedup();
    names
}

fn without_env(paths: &Paths, log: &mut Log) -> Result<(), String> {
    for package in ["portolan-web", wasm::TLS, "portolan-conformance"] {
        let module = web::compile(paths, package, &mut |command| log.run(command))?;
        let bytes = fs::read(&module).map_err(|error| error.to_string())?;
        let modules = wasm::import_modules(&bytes)?;
        log.say(&format!("{} imports from {modules:?}", module.display()));
        if modules.iter().any(|module| module == "env") {
            return Err(format!("{package} imports from `env`"));
        }
    }
    Ok(())
}

fn npm(paths: &Paths, log: &mut Log, script: &str) -> Result<(), String> {
    let mut command = Command::new("npm");
    command.args(["run", script]).current_dir(paths.root.join("web"));
    command.env("PORTOLAN_OUTPUT", paths.root.join("tests/output"));
    command.env("PORTOLAN_TARGET", &paths.target);
    command.env("PORTOLAN_CONFORMANCE", conformance_folder(paths));
    command.env("PORTOLAN_RUNTIMES", paths.js_runtimes());
    environment(&mut command, "MONGODB_SPECIFICATIONS", paths.specifications().as_deref());
    environment(&mut command, "PORTOLAN_CHROMIUM", setup::chromium().as_deref());
    log.run(&mut command)
}

/// The folder of the conformance module, below the build folder.
fn conformance_folder(paths: &Paths) -> PathBuf {
    paths.target.join("xtask").join("conformance")
}

fn conformance(paths: &Paths, log: &mut Log) -> Result<(), String> {
    let module = web::compile(paths, "portolan-conformance", &mut |command| log.run(command))?;
    let folder = conformance_folder(paths);
    web::bind(paths, &module, &folder, "portolan_conformance", &mut |c| log.run(c))?;
    npm(paths, log, "test:conformance")
}

/// A script of npm that starts the program `portolan` with its own set.
fn with_bridge(paths: &Paths, log: &mut Log, script: &str) -> Result<(), String> {
    web::build(paths, &mut |command| log.run(command))?;
    log.run(paths.cargo().args(["build", "--workspace", "--bins"]))?;
    npm(paths, log, script)
}

fn environment(command: &mut Command, name: &str, value: Option<&Path>) {
    if let Some(value) = value {
        command.env(name, value);
    }
}
