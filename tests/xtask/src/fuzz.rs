//! `cargo xtask fuzz`: searches for inputs that break a promise.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::paths::Paths;
use crate::run;
use crate::setup;
use crate::web;

/// The targets in Rust, of `tests/fuzz/targets`.
const NATIVE: [&str; 4] = ["hello", "op_msg", "tunnel", "uri"];
/// The one in JavaScript.
const BSON_JS: &str = "bson_js";
/// The version of cargo-fuzz that the targets are known to work with.
const CARGO_FUZZ: &str = "0.13.2";
const USUAL_SECONDS: u32 = 60;

/// The command line: targets, none for all, and how long each is to take.
pub(crate) fn command(paths: &Paths, arguments: &[String]) -> ExitCode {
    let (targets, seconds) = match read(arguments) {
        Ok(read) => read,
        Err(problem) => return crate::bad_usage(&format!("fuzz: {problem}")),
    };
    let output = paths.target.join("fuzz");
    if let Err(error) = std::fs::create_dir_all(&output) {
        eprintln!("{}: {error}", output.display());
        return ExitCode::FAILURE;
    }
    let mut well = true;
    for target in targets {
        eprintln!("... {target}, {seconds} s");
        // What an earlier search found would be taken for this one's.
        for input in found(&output, &target) {
            let _ = std::fs::rename(&input, input.with_extension("old"));
        }
        let searched = match target.as_str() {
            BSON_JS => javascript(paths, &output, seconds),
            _ => native(paths, &output, &target, seconds),
        };
        match searched {
            Ok(figures) => println!("{target:<8} {figures}"),
            Err(problem) => {
                well = false;
                println!("{target:<8} {problem}");
                for input in found(&output, &target) {
                    println!(
                        "         {} breaks it; name it after what it shows, put it into \
                         tests/fuzz/regressions/{target}, and mend what it breaks",
                        input.display()
                    );
                }
            }
        }
    }
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The inputs that the search of `target` has written into `output`.
fn found(output: &Path, target: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(output).into_iter().flatten().flatten().map(|file| file.path());
    let name = |file: &PathBuf| file.file_name().map(|name| name.to_string_lossy().into_owned());
    let is_found = |name: String| name.starts_with(&format!("{target}-")) && !name.contains('.');
    files.filter(|file| name(file).is_some_and(is_found)).collect()
}

fn read(arguments: &[String]) -> Result<(Vec<String>, u32), String> {
    let mut targets = Vec::new();
    let mut seconds = USUAL_SECONDS;
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let number = words.next().ok_or("--seconds needs a number")?;
            seconds = number.parse().map_err(|_| format!("{number} is no number of seconds"))?;
        } else if word == BSON_JS || NATIVE.contains(&word.as_str()) {
            targets.push(word.clone());
        } else {
            let all = NATIVE.join(", ");
            return Err(format!("there is no target {word}; there are {all} and {BSON_JS}"));
        }
    }
    if targets.is_empty() {
        targets = NATIVE.iter().chain([&BSON_JS]).map(ToString::to_string).collect();
    }
    Ok((targets, seconds))
}

/// By libFuzzer, whose instrumentation needs what only nightly compilers admit to have.
fn native(paths: &Paths, output: &Path, target: &str, seconds: u32) -> Result<String, String> {
    let program = cargo_fuzz(paths)?;
    let folder = paths.root.join("tests/fuzz/targets");
    let corpus = output.join("corpus").join(target);
    std::fs::create_dir_all(&corpus).map_err(|error| error.to_string())?;
    let log = output.join(format!("{target}.log"));
    let mut command = Command::new(program);
    command
        .current_dir(&folder)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", paths.target.join("fuzz/build"))
        // Sanitizers look for what safe Rust has not.
        .args(["run", "--fuzz-dir", ".", "--sanitizer", "none", target])
        .arg(&corpus)
        .arg(paths.root.join("tests/fuzz/regressions").join(target))
        .args(["--", "-print_final_stats=1", "-max_len=8192"])
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-artifact_prefix={}/{target}-", output.display()));
    let _ = std::fs::remove_file(&log);
    // Building comes first, and is not counted.
    let limit = std::time::Duration::from_secs(u64::from(seconds) + 1200);
    let ended = run::logged(&mut command, &log, limit);
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    if ended != run::Ended::Well {
        return Err(format!("broke a promise, or did not run: see {}", log.display()));
    }
    let word = |key: &str| {
        let (_, after) = text.rsplit_once(key)?;
        after.split_whitespace().next().map(str::to_owned)
    };
    match (word("stat::number_of_executed_units:"), word(" cov: "), word(" ft: ")) {
        (Some(executions), Some(edges), Some(features)) => Ok(format!(
            "{executions} executions, coverage {edges} edges, {features} features; nothing found"
        )),
        _ => Err(format!("said no figures: see {}", log.display())),
    }
}

/// By a search of our own that V8's coverage guides.
fn javascript(paths: &Paths, output: &Path, seconds: u32) -> Result<String, String> {
    let specifications = paths.specifications().ok_or("there are no specifications")?;
    let packages = setup::ensure(paths, setup::Component::NodePackages);
    if !packages.is_there() {
        return Err(packages.to_string());
    }
    web::package(paths)?;
    let mut command = Command::new("node");
    command
        .arg(paths.root.join("tests/fuzz/javascript/search.mjs"))
        .args(["--seconds", &seconds.to_string()])
        .env("MONGODB_SPECIFICATIONS", specifications)
        .env("PORTOLAN_FUZZ_OUTPUT", output);
    let said = run::quietly(&mut command)?;
    Ok(format!("{}; nothing found", said.trim()))
}

/// The program cargo-fuzz, kept in the cache.
fn cargo_fuzz(paths: &Paths) -> Result<PathBuf, String> {
    let root = paths.cache.join("tools").join(format!("cargo-fuzz-{CARGO_FUZZ}"));
    let program = root.join("bin/cargo-fuzz");
    if !program.is_file() {
        eprintln!("... cargo install cargo-fuzz {CARGO_FUZZ} (a minute)");
        let mut install = paths.cargo();
        install.args(["install", "--quiet", "cargo-fuzz", "--version", CARGO_FUZZ, "--root"]);
        install.arg(&root).env("CARGO_TARGET_DIR", paths.cache.join("build"));
        let installed = run::quietly(&mut install);
        let _ = std::fs::remove_dir_all(paths.cache.join("build"));
        installed?;
    }
    Ok(program)
}
