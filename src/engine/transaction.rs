//! Transactions of a session: what a step leads to, and what a failure means for the whole.
//!
//! Specification: transactions, transactions-convenient-api.

use std::time::Duration;

/// The label of an error after which the whole transaction may be run again.
pub const TRANSIENT_TRANSACTION_ERROR: &str = "TransientTransactionError";
/// The label of an error that leaves open whether the transaction was committed.
pub const UNKNOWN_TRANSACTION_COMMIT_RESULT: &str = "UnknownTransactionCommitResult";

/// The state of a session ("ClientSession changes").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransactionState {
    /// "no transaction".
    #[default]
    None,
    /// "starting transaction": nothing was sent yet.
    Starting,
    /// "transaction in progress".
    InProgress,
    /// "transaction committed", or the attempt was made.
    Committed,
    /// The same of a transaction without operations, of which no server knows.
    CommittedEmpty,
    /// "transaction aborted".
    Aborted,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionEvent {
    /// startTransaction.
    Start,
    /// An operation is given the session.
    Operation,
    /// A command of it is sent.
    Sent,
    /// The command that was sent was refused before the server did anything (client-backpressure):
    /// the next one is the first then.
    Refused,
    /// commitTransaction.
    Commit,
    /// abortTransaction.
    Abort,
}

/// What a step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionStep {
    /// The state from now on.
    pub state: TransactionState,
    /// Whether the server is told: a command that ends the transaction is sent.
    pub told: bool,
}

impl TransactionState {
    /// Whether commands belong to a transaction.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Starting | Self::InProgress)
    }

    /// What `event` leads to.
    ///
    /// # Errors
    ///
    /// Why it cannot be. The state is as it was.
    pub fn on(self, event: TransactionEvent) -> Result<TransactionStep, &'static str> {
        use TransactionEvent::{Abort, Commit, Operation, Refused, Sent, Start};

        let quiet = |state| Ok(TransactionStep { state, told: false });
        let told = |state| Ok(TransactionStep { state, told: true });
        match (self, event) {
            (Self::Starting | Self::InProgress, Start) => Err("Transaction already in progress"),
            (Self::None | Self::Committed | Self::CommittedEmpty | Self::Aborted, Start) => {
                quiet(Self::Starting)
            }
            (Self::Starting | Self::InProgress, Operation) => quiet(self),
            (Self::None | Self::Committed | Self::CommittedEmpty | Self::Aborted, Operation) => {
                quiet(Self::None)
            }
            (Self::Starting, Sent) => quiet(Self::InProgress),
            (
                Self::None
                | Self::InProgress
                | Self::Committed
                | Self::CommittedEmpty
                | Self::Aborted,
                Sent,
            ) => quiet(self),
            (Self::InProgress, Refused) => quiet(Self::Starting),
            (
                Self::None
                | Self::Starting
                | Self::Committed
                | Self::CommittedEmpty
                | Self::Aborted,
                Refused,
            ) => quiet(self),
            (Self::None, Commit | Abort) => Err("No transaction started"),
            (Self::Starting | Self::CommittedEmpty, Commit) => quiet(Self::CommittedEmpty),
            (Self::InProgress | Self::Committed, Commit) => told(Self::Committed),
            (Self::Aborted, Commit) => {
                Err("Cannot call commitTransaction after calling abortTransaction")
            }
            (Self::Starting, Abort) => quiet(Self::Aborted),
            (Self::InProgress, Abort) => told(Self::Aborted),
            (Self::Committed | Self::CommittedEmpty, Abort) => {
                Err("Cannot call abortTransaction after calling commitTransaction")
            }
            (Self::Aborted, Abort) => Err("Cannot call abortTransaction twice"),
        }
    }
}

/// Whether a write concern error of a commit leaves open how it ended: all do but those of a write
/// concern that can never be satisfied ("UnknownTransactionCommitResult").
pub fn leaves_commit_open(code: i32) -> bool {
    const UNKNOWN_REPL_WRITE_CONCERN: i32 = 79;
    const UNSATISFIABLE_WRITE_CONCERN: i32 = 100;
    !matches!(code, UNKNOWN_REPL_WRITE_CONCERN | UNSATISFIABLE_WRITE_CONCERN)
}

/// What withTransaction does after a failed commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCommit {
    /// Commits again.
    CommitAgain,
    /// Runs the whole transaction again.
    Restart,
    /// Tells its caller.
    Fail,
}

impl AfterCommit {
    /// By what is known of the error ("Sequence of Actions", 10).
    pub fn of(unknown: bool, transient: bool, max_time_expired: bool) -> Self {
        match (unknown && !max_time_expired, transient) {
            (true, _) => Self::CommitAgain,
            (false, true) => Self::Restart,
            (false, false) => Self::Fail,
        }
    }
}

/// The longest pause before the transaction is run again, when it was run `attempts` times; a
/// random share of it is taken.
pub fn longest_pause(attempts: u32) -> Duration {
    const INITIAL: Duration = Duration::from_millis(5);
    const MAX: Duration = Duration::from_millis(500);
    // 5 ms times 1.5 to the twelfth is more than the limit.
    (0..attempts.min(12)).fold(INITIAL, |pause, _| pause * 3 / 2).min(MAX)
}

/// How long withTransaction tries again where there is no `timeoutMS`.
pub const RETRY_LIMIT: Duration = Duration::from_secs(120);

/// The `wtimeout` of a commit that is repeated with a majority.
pub const MAJORITY_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::TransactionEvent as Event;
    use super::TransactionState as State;
    use super::*;

    const STATES: [State; 6] = [
        State::None,
        State::Starting,
        State::InProgress,
        State::Committed,
        State::CommittedEmpty,
        State::Aborted,
    ];

    /// The whole table: one outcome for each state, in the order of `STATES`.
    #[test]
    fn each_state_has_one_outcome_of_each_event() {
        let quiet = |state| Ok(TransactionStep { state, told: false });
        let told = |state| Ok(TransactionStep { state, told: true });
        let open = Err("Transaction already in progress");
        let none = Err("No transaction started");
        let aborted = Err("Cannot call commitTransaction after calling abortTransaction");
        let committed = Err("Cannot call abortTransaction after calling commitTransaction");
        let twice = Err("Cannot call abortTransaction twice");
        let starting = quiet(State::Starting);
        let same = STATES.map(quiet);
        let table = [
            (Event::Start, [starting, open, open, starting, starting, starting]),
            (
                Event::Operation,
                [
                    quiet(State::None),
                    same[1],
                    same[2],
                    quiet(State::None),
                    quiet(State::None),
                    quiet(State::None),
                ],
            ),
            (Event::Sent, [same[0], same[2], same[2], same[3], same[4], same[5]]),
            (Event::Refused, [same[0], same[1], same[1], same[3], same[4], same[5]]),
            (
                Event::Commit,
                [
                    none,
                    quiet(State::CommittedEmpty),
                    told(State::Committed),
                    told(State::Committed),
                    quiet(State::CommittedEmpty),
                    aborted,
                ],
            ),
            (Event::Abort, [none, same[5], told(State::Aborted), committed, committed, twice]),
        ];
        for (event, outcomes) in table {
            for (state, outcome) in STATES.into_iter().zip(outcomes) {
                assert_eq!(state.on(event), outcome, "{state:?} on {event:?}");
            }
        }
    }

    #[test]
    fn a_commit_is_repeated_where_nobody_knows_how_it_ended() {
        for transient in [true, false] {
            assert_eq!(AfterCommit::of(true, transient, false), AfterCommit::CommitAgain);
        }
        for unknown in [true, false] {
            assert_eq!(AfterCommit::of(unknown, false, true), AfterCommit::Fail);
            assert_eq!(AfterCommit::of(unknown, true, true), AfterCommit::Restart);
        }
        assert_eq!(AfterCommit::of(false, true, false), AfterCommit::Restart);
        assert_eq!(AfterCommit::of(false, false, false), AfterCommit::Fail);
        let open: Vec<i32> = (0..200).filter(|code| !leaves_commit_open(*code)).collect();
        assert_eq!(open, [79, 100]);
    }

    #[test]
    fn pauses_grow_by_half_up_to_half_a_second() {
        let micros = |attempts| longest_pause(attempts).as_micros();
        assert_eq!([micros(1), micros(2), micros(3)], [7_500, 11_250, 16_875]);
        assert!(micros(11) < 500_000);
        assert_eq!([micros(12), micros(u32::MAX)], [500_000, 500_000]);
    }
}
