//! How many tests a suite ran, read from what its runner printed.

/// Tests of one suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Count {
    /// The sum of all closing lines in `output`, of libtest, node's test runner and our own.
    pub(crate) fn read(output: &str) -> Self {
        let mut count = Self::default();
        for line in output.lines() {
            let line = line.trim();
            if let Some(line) = line.strip_prefix("test result: ") {
                count.add_pairs(line.split_once(". ").map_or(line, |(_, pairs)| pairs));
            } else if let Some(line) = line.strip_prefix("# ").or(line.strip_prefix("ℹ ")) {
                count.add_node(line);
            } else if is_plain(line) {
                count.add_pairs(line);
            }
        }
        count
    }

    pub(crate) fn total(self) -> usize {
        self.passed + self.failed + self.skipped
    }

    /// `5 passed; 1 failed; 2 ignored` or `5 passed, 1 failed, 2 skipped`.
    fn add_pairs(&mut self, text: &str) {
        for pair in text.split([';', ',']) {
            if let Some((number, word)) = pair.trim().split_once(' ')
                && let Ok(number) = number.parse::<usize>()
            {
                self.add(word, number);
            }
        }
    }

    /// `pass 5`, as node's test runner closes.
    fn add_node(&mut self, text: &str) {
        if let Some((word, number)) = text.split_once(' ')
            && let Ok(number) = number.parse()
        {
            self.add(word, number);
        }
    }

    fn add(&mut self, word: &str, number: usize) {
        match word {
            "passed" | "pass" => self.passed += number,
            "failed" | "fail" | "cancelled" => self.failed += number,
            "skipped" | "ignored" | "todo" => self.skipped += number,
            _ => {}
        }
    }
}

/// Whether the line is `N passed, N failed`, perhaps with more after it.
fn is_plain(line: &str) -> bool {
    let mut words = line.split([' ', ',']).filter(|word| !word.is_empty());
    let number = |word: Option<&str>| word.is_some_and(|word| word.parse::<usize>().is_ok());
    number(words.next())
        && words.next() == Some("passed")
        && number(words.next())
        && words.next() == Some("failed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_runner_is_read() {
        let libtest = "running 3 tests\ntest a ... ok\n\
            test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out\n\
            test result: FAILED. 1 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out\n";
        assert_eq!(Count::read(libtest), Count { passed: 3, failed: 4, skipped: 1 });
        let node = "ℹ tests 6\nℹ pass 4\nℹ fail 1\nℹ skipped 1\nℹ todo 0\nℹ duration_ms 5\n";
        assert_eq!(Count::read(node), Count { passed: 4, failed: 1, skipped: 1 });
        assert_eq!(Count::read("# pass 2\n# fail 0\n").passed, 2);
        let ours = "7 passed, 1 failed, 2 skipped\n";
        assert_eq!(Count::read(ours), Count { passed: 7, failed: 1, skipped: 2 });
        assert_eq!(Count::read("nothing ran; 3 passed by\n").total(), 0);
    }
}
