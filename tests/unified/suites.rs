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
    /// The runner must find something wrong when it runs the test: the test checks the runner.
    Fail,
}

/// All suites.
pub(crate) static SUITES: &[Suite] = &[
    suite("unified-test-format/tests/valid-pass", 34),
    Suite { expect: Expect::Fail, ..suite("unified-test-format/tests/valid-fail", 20) },
    suite("server-discovery-and-monitoring/tests/unified", 36),
    suite("server-selection/tests/logging", 5),
    suite("command-logging-and-monitoring/tests/logging", 9),
    suite("command-logging-and-monitoring/tests/monitoring", 14),
    suite("connection-monitoring-and-pooling/tests/logging", 2),
    suite("client-backpressure/tests", 4),
    suite("mongodb-handshake/tests/unified", 1),
    suite("load-balancers/tests", 8),
    suite("retryable-reads/tests/unified", 45),
    suite("retryable-writes/tests/unified", 35),
    suite("run-command/tests/unified", 2),
    suite("read-write-concern/tests/operation", 4),
    suite("crud/tests/unified", 175),
    suite("sessions/tests", 7),
    suite("causal-consistency/tests", 2),
    suite("transactions/tests/unified", 44),
    suite("transactions-convenient-api/tests/unified", 10),
    suite("change-streams/tests/unified", 9),
    suite("client-side-operations-timeout/tests", 28),
    suite("collection-management/tests", 6),
    suite("index-management/tests", 7),
    suite("gridfs/tests", 8),
    suite("versioned-api/tests", 6),
    suite("auth/tests/unified", 1),
    suite("open-telemetry/tests/operation", 20),
    suite("open-telemetry/tests/transaction", 2),
];

/// The tests of pools, which have a format of their own ([`crate::cmap`]).
pub(crate) static POOLS: Suite = suite("connection-monitoring-and-pooling/tests/cmap-format", 33);

const fn suite(folder: &'static str, files: usize) -> Suite {
    Suite { folder, files, expect: Expect::Pass }
}
