//! One suite: what it needs, what it runs, and what came of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::count::Count;
use crate::paths::Paths;
use crate::run::{self, Ended};
use crate::setup::Component;

/// A check or a set of tests, with a row of its own in the table.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) needs: &'static [Component],
    pub(crate) kind: Kind,
    pub(crate) work: fn(&Paths, &mut Log) -> Result<(), String>,
}

/// How a suite is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It holds or not: one.
    Check,
    /// By what its test runners print; running no test is a failure.
    Tests,
}

/// What came of a suite.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// It ran.
    Ran { count: Count, problem: Option<String>, took: Duration },
    /// It could not run: the reason, and the command that would enable it.
    Skipped { reason: String, command: String },
}

/// The output of one suite, and the clock over it.
pub(crate) struct Log {
    path: PathBuf,
    deadline: Instant,
}

impl Log {
    /// Runs `command`, its output into the log.
    ///
    /// # Errors
    ///
    /// Which program failed, or that the time of the suite is over.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<(), String> {
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let words: Vec<_> = [program]
            .into_iter()
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let line = words.join(" ");
        self.say(&format!("$ {line}"));
        let left = self.deadline.saturating_duration_since(Instant::now());
        match run::logged(command, &self.path, left) {
            Ended::Well => Ok(()),
            Ended::Badly => Err(format!("failed: {line}")),
            Ended::TooLate => Err(format!("stopped after {} s: {line}", LIMIT.as_secs())),
        }
    }

    /// Adds a line of our own.
    pub(crate) fn say(&mut self, line: &str) {
        use std::io::Write as _;
        if let Ok(mut file) = fs::File::options().create(true).append(true).open(&self.path) {
            let _ = writeln!(file, "{line}");
        }
    }
}

impl Suite {
    /// Runs it, its output into a file of its own below the build folder.
    pub(crate) fn run(&self, paths: &Paths) -> Verdict {
        let started = Instant::now();
        let path = self.log_path(paths);
        let _ = fs::create_dir_all(path.parent().unwrap_or(Path::new(".")));
        let _ = fs::remove_file(&path);
        let mut log = Log { path, deadline: started + LIMIT };
        let result = (self.work)(paths, &mut log);
        let (count, problem) = self.judge(result, &self.output(paths));
        Verdict::Ran { count, problem, took: started.elapsed() }
    }

    /// All that it printed.
    pub(crate) fn output(&self, paths: &Paths) -> String {
        let bytes = fs::read(self.log_path(paths)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_path(&self, paths: &Paths) -> PathBuf {
        paths.target.join("xtask").join(format!("{}.log", self.name))
    }

    /// A suite that ends badly has failed, whatever it counted; so has one that ran no test.
    fn judge(&self, result: Result<(), String>, output: &str) -> (Count, Option<String>) {
        let mut count = match self.kind {
            Kind::Tests => Count::read(output),
            Kind::Check if result.is_ok() => Count { passed: 1, ..Count::default() },
            Kind::Check => Count { failed: 1, ..Count::default() },
        };
        let problem = match result {
            Err(problem) => Some(problem),
            Ok(()) if count.total() == 0 => Some("it ran no test".to_owned()),
            Ok(()) => None,
        };
        if problem.is_some() && count.failed == 0 {
            count.failed = 1;
        }
        (count, problem)
    }
}

/// More than any suite takes on two cores with everything to compile.
const LIMIT: Duration = Duration::from_secs(25 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(kind: Kind, result: Result<(), String>, output: &str) -> (Count, Option<String>) {
        let suite = Suite { name: "s", about: "", needs: &[], kind, work: |_, _| Ok(()) };
        suite.judge(result, output)
    }

    #[test]
    fn no_test_and_a_bad_end_are_failures() {
        let (count, problem) = judged(Kind::Tests, Ok(()), "nothing");
        assert_eq!((count.failed, problem.as_deref()), (1, Some("it ran no test")));
        let (count, _) = judged(Kind::Tests, Err("failed".into()), "3 passed, 0 failed");
        assert_eq!((count.passed, count.failed), (3, 1));
        let (count, problem) = judged(Kind::Tests, Ok(()), "3 passed, 0 failed");
        assert_eq!((count.passed, count.failed, problem), (3, 0, None));
        assert_eq!(judged(Kind::Check, Ok(()), "").0.passed, 1);
    }
}
