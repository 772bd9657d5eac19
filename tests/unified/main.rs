//! The drivers' unified tests against real servers: one named test per JSON test.
//!
//! Files are read from `$MONGODB_SPECIFICATIONS`, else `../shared/specifications`. The servers, a
//! standalone and a set of three members with fail points, are started when the first test needs
//! them; those of older versions for the tests that the newest does not meet. A test that no
//! deployment can run, or that needs what this driver has not built yet, is shown as ignored with
//! its reason, and counted by reason at the end; nothing is left out silently. Tests run one after
//! another: fail points belong to whole servers.

#![allow(clippy::print_stdout, reason = "the summary of a test program")]

mod apart;
mod balancer;
mod client;
mod cmap;
mod cursors;
mod deployment;
mod errors;
mod events;
mod existence;
mod logs;
mod matching;
mod matching_tests;
mod operations;
mod prose;
mod requirement;
mod run;
mod runner;
mod schema;
mod suites;
mod validate;
mod version;
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::apart::Reason;
use crate::deployment::Deployments;
use crate::suites::{Expect, POOLS, SUITES, Suite};

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    tracing::subscriber::set_global_default(logs::Collector).expect("the first of this process");
    let mut trials = matching_tests::trials();
    let mut apart = BTreeMap::new();
    match prepare() {
        Ok((source, deployments)) => {
            trials.extend(prose::trials(&deployments));
            let all = SUITES.iter().map(|suite| (suite, tests as Read));
            for (suite, read) in all.chain([(&POOLS, pools as Read)]) {
                trials.extend(self::trials(&source, suite, read, &deployments, &mut apart));
            }
        }
        Err(problem) => trials.push(Trial::test("prepare", || Err(Failed::from(problem)))),
    }
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing {
        summarize(&apart);
    }
    // The trials are gone, and with them the servers.
    conclusion.exit();
}

fn summarize(apart: &BTreeMap<Reason, usize>) {
    println!("apart, by reason:");
    for (reason, count) in apart {
        println!("{count:>6}  {reason}");
    }
    println!("{:>6}  in all", apart.values().sum::<usize>());
}

fn prepare() -> Result<(PathBuf, Arc<Deployments>), String> {
    let root = match std::env::var_os("MONGODB_SPECIFICATIONS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/specifications"),
    };
    let candidates = [root.join("source"), root.clone()];
    let found = candidates.into_iter().find(|folder| folder.join(SUITES[0].folder).is_dir());
    let source = found.ok_or_else(|| {
        format!("the MongoDB specifications are not in {}; run `cargo xtask setup`", root.display())
    })?;
    Ok((source, Arc::new(Deployments::find()?)))
}

/// What makes trials of a file.
type Read =
    fn(&str, &Path, &'static Suite, &Arc<Deployments>, &mut BTreeMap<Reason, usize>) -> Vec<Trial>;

fn trials(
    source: &Path,
    suite: &'static Suite,
    read: Read,
    deployments: &Arc<Deployments>,
    apart: &mut BTreeMap<Reason, usize>,
) -> Vec<Trial> {
    let mut files = Vec::new();
    let listed = list(&source.join(suite.folder), &mut files);
    files.sort();
    let found = files.len();
    let count = Trial::test(format!("{} has {} files", suite.folder, suite.files), move || {
        listed?;
        if found == suite.files {
            return Ok(());
        }
        Err(format!("expected {} files, found {found}", suite.files).into())
    });
    let mut trials = vec![count];
    for path in files {
        let name = path.strip_prefix(source).unwrap_or(&path).to_string_lossy().replace('\\', "/");
        trials.extend(read(&name, &path, suite, deployments, apart));
    }
    trials
}

/// One trial per test of a file; one that fails if it is no such file.
fn tests(
    name: &str,
    path: &Path,
    suite: &'static Suite,
    deployments: &Arc<Deployments>,
    apart: &mut BTreeMap<Reason, usize>,
) -> Vec<Trial> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
    let file = match text.and_then(|text| schema::parse(&text)) {
        Ok(file) => Arc::new(file),
        Err(problem) => {
            let outcome = suite.expect.judge(Err(problem));
            return vec![Trial::test(name, || outcome.map_err(Failed::from))];
        }
    };
    let mut trials = Vec::new();
    for (index, test) in file.tests.iter().enumerate() {
        let title = format!("{name}::{}", test.description);
        let judge = |on: &Arc<Deployments>| {
            let kinds = apart::judge(name, &file, test, on)?;
            Ok((on.clone(), kinds))
        };
        let judged = judge(deployments);
        let judged = judged.or_else(|reason: Reason| {
            deployments.older.iter().find_map(|older| judge(older).ok()).ok_or(reason)
        });
        let (deployments, kinds) = match judged {
            Ok(found) => found,
            Err(reason) if suite.expect == Expect::Fail && reason.is_nonsense() => {
                trials.push(Trial::test(title, || Ok(())));
                continue;
            }
            Err(reason) => {
                let title = format!("{title} ({reason})");
                *apart.entry(reason).or_default() += 1;
                trials.push(Trial::test(title, || Ok(())).with_ignored_flag(true));
                continue;
            }
        };
        let file = file.clone();
        trials.push(Trial::test(title, move || {
            for kind in kinds {
                let outcome = run::run(&file, &file.tests[index], &deployments, kind);
                let outcome = suite.expect.judge(outcome);
                let (kind, version) = (kind.as_str(), deployments.version);
                outcome.map_err(|what| format!("on a {kind} of {version}: {what}"))?;
            }
            Ok(())
        }));
    }
    trials
}

/// The one trial of a file of pools.
fn pools(
    name: &str,
    path: &Path,
    _: &'static Suite,
    deployments: &Arc<Deployments>,
    apart: &mut BTreeMap<Reason, usize>,
) -> Vec<Trial> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let trial = cmap::trial(name.to_owned(), &text, deployments);
    vec![trial.unwrap_or_else(|missing| {
        let reason = Reason::Requirement(missing);
        let title = format!("{name} ({reason})");
        *apart.entry(reason).or_default() += 1;
        Trial::test(title, || Ok(())).with_ignored_flag(true)
    })]
}

impl Expect {
    fn judge(self, outcome: Result<(), String>) -> Result<(), String> {
        match (self, outcome) {
            (Self::Pass, outcome) => outcome,
            (Self::Fail, Err(_)) => Ok(()),
            (Self::Fail, Ok(())) => Err("the test passed, and must fail".to_owned()),
        }
    }
}

/// All JSON files in and below `folder`.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let problem = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}
