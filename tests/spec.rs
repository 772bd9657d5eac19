//! The drivers' JSON tests, one named test per file.
//!
//! The files are not part of this repository (CC BY-NC-SA): they are read from
//! `$MONGODB_SPECIFICATIONS`, else from `../shared/specifications`. `cargo xtask setup` gets them.
//! A suite whose number of files differs from what is expected is a failed test of its own, so that
//! an empty folder cannot pass.

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use portolan_conformance::{DEFERRED, SUITES, Suite};

fn main() {
    let arguments = Arguments::from_args();
    let trials = match source() {
        Ok(source) => SUITES.iter().flat_map(|suite| trials(&source, suite)).collect(),
        Err(problem) => vec![Trial::test("specifications", || Err(Failed::from(problem)))],
    };
    libtest_mimic::run(&arguments, trials).exit();
}

/// The folder that holds the specifications' folders.
fn source() -> Result<PathBuf, String> {
    let root = match std::env::var_os("MONGODB_SPECIFICATIONS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/specifications"),
    };
    // Both a clone and its `source` folder are accepted.
    let candidates = [root.join("source"), root.clone()];
    let found = candidates.into_iter().find(|folder| folder.join(SUITES[0].folder).is_dir());
    found.ok_or_else(|| {
        format!(
            "the MongoDB specifications are not in {}; run `cargo xtask setup`, or set \
             MONGODB_SPECIFICATIONS to a clone of https://github.com/mongodb/specifications",
            root.display()
        )
    })
}

fn trials(source: &Path, suite: &'static Suite) -> Vec<Trial> {
    let mut files = Vec::new();
    let walked = walk(&source.join(suite.folder), &mut files);
    files.sort();
    let found = files.len();
    let count = Trial::test(format!("{} has {} files", suite.folder, suite.files), move || {
        walked?;
        if found == suite.files {
            return Ok(());
        }
        Err(format!("expected {} files, found {found}", suite.files).into())
    });
    let mut trials = vec![count];
    trials.extend(files.into_iter().map(|file| trial(source, file)));
    trials
}

fn trial(source: &Path, file: PathBuf) -> Trial {
    let relative = file.strip_prefix(source).unwrap_or(&file).components();
    let names: Vec<_> = relative.map(|part| part.as_os_str().to_string_lossy()).collect();
    let path = names.join("/");
    let deferred = DEFERRED.iter().find(|(deferred, _)| *deferred == path);
    let name = match deferred {
        Some((_, reason)) => format!("{path} ({reason})"),
        None => path.clone(),
    };
    let run = move || -> Result<(), Failed> {
        let json = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
        Ok(portolan_conformance::run(&path, &json)?)
    };
    Trial::test(name, run).with_ignored_flag(deferred.is_some())
}

/// All JSON files in and below `folder`.
fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}
