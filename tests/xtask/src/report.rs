//! What `cargo xtask test` says: a line when a suite ends, and the table at the end.

use crate::count::Count;
use crate::paths::Paths;
use crate::suite::{Suite, Verdict};

/// The verdicts so far.
pub(crate) struct Report<'a> {
    paths: &'a Paths,
    rows: Vec<(&'a Suite, Verdict)>,
    strict: bool,
}

impl<'a> Report<'a> {
    /// Where `strict`, a suite that could not run counts as failed.
    pub(crate) fn new(paths: &'a Paths, strict: bool) -> Self {
        Self { paths, rows: Vec::new(), strict }
    }

    /// Adds a verdict and says it; the whole output of a suite that failed is shown.
    pub(crate) fn add(&mut self, suite: &'a Suite, verdict: Verdict) {
        match &verdict {
            Verdict::Ran { count, problem, took } => {
                if problem.is_some() || count.failed > 0 {
                    println!("---- {} ----", suite.name);
                    println!("{}", indented(&suite.output(self.paths)));
                    println!("---- end of {} ----", suite.name);
                }
                let problem = problem.as_ref().map_or(String::new(), |text| format!("  {text}"));
                let counts = counts(*count);
                println!("{:<12} {counts}  {:>6.1} s{problem}", suite.name, took.as_secs_f64());
            }
            Verdict::Skipped { reason, command } => {
                println!("{:<12} skipped: {reason}; try: {command}", suite.name);
            }
        }
        self.rows.push((suite, verdict));
    }

    /// Prints the table, what was skipped, and the closing line; answers whether all is well.
    pub(crate) fn close(self) -> bool {
        let mut total = Count::default();
        println!("\n{:<12} {:>7} {:>7} {:>8}", "suite", "passed", "failed", "skipped");
        for (suite, verdict) in &self.rows {
            let count = self.count(verdict);
            println!("{:<12} {}", suite.name, counts_row(count));
            total.passed += count.passed;
            total.failed += count.failed;
            total.skipped += count.skipped;
        }
        for (suite, verdict) in &self.rows {
            if let Verdict::Skipped { reason, command } = verdict {
                println!("skipped {}: {reason}; to enable it: {command}", suite.name);
            }
        }
        println!();
        if total.skipped > 0 {
            println!("{}", counts(total));
        } else {
            println!("{} passed, {} failed", total.passed, total.failed);
        }
        total.failed == 0 && total.passed > 0
    }

    fn count(&self, verdict: &Verdict) -> Count {
        match verdict {
            Verdict::Ran { count, .. } => *count,
            Verdict::Skipped { .. } if self.strict => Count { failed: 1, ..Count::default() },
            Verdict::Skipped { .. } => Count { skipped: 1, ..Count::default() },
        }
    }
}

fn counts(count: Count) -> String {
    format!("{} passed, {} failed, {} skipped", count.passed, count.failed, count.skipped)
}

fn counts_row(count: Count) -> String {
    format!("{:>7} {:>7} {:>8}", count.passed, count.failed, count.skipped)
}

/// Set in, so that no line of a runner can be taken for the closing line of this program.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  | {line}\n")).collect()
}
