//! The folders of unified tests that are run, with the number of files that must be there.

/// A folder of test files.
pub(crate) struct Suite {
    /// The folder, below `source/`.
    pub(crate) folder: &'static str,
    /// How many files it has in the version of the specifications that the project follows.
    pub(crate) files: usize,
    /// What must come of its tests.
    pub(crate) expect: Expect,
}

/// What must come of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    Pass,
    /// The runner must find something wrong: the test checks the runner.
    Fail,
}

/// All suites.
pub(crate) static SUITES: &[Suite] = &[
    suite("server-discovery-and-monitoring/tests/unified", 36),
    suite("server-selection/tests/logging", 5),
];

const fn suite(folder: &'static str, files: usize) -> Suite {
    Suite { folder, files, expect: Expect::Pass }
}
