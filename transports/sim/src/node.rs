//! One simulated member.

use std::fmt;

use bson::oid::ObjectId;
use portolan::engine::rng::Rng;
use portolan::engine::time::Instant;

/// What the process of a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It answers.
    Running,
    /// It keeps its connections and answers nothing, like a stopped process.
    Frozen,
    /// It is gone, and so are its connections.
    Stopped,
}

/// What can be done to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The primary becomes a secondary and does not stand again for ten seconds.
    StepDown,
    /// The process stops answering.
    Freeze,
    /// A frozen process goes on.
    Thaw,
    /// The process is gone at once.
    Kill,
    /// A process that is gone starts again.
    Restart,
}

/// Why a fault does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such member.
    NoSuchMember,
    /// Only a primary steps down.
    NotPrimary,
    /// The member is in this state, where that cannot be done.
    State(State),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchMember => f.write_str("there is no such member"),
            Self::NotPrimary => f.write_str("the member is not the primary"),
            Self::State(State::Running) => f.write_str("the member is running"),
            Self::State(State::Frozen) => f.write_str("the member is frozen"),
            Self::State(State::Stopped) => f.write_str("the member is stopped"),
        }
    }
}

impl std::error::Error for Refused {}

/// What the cluster knows of a member, and the member of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) address: String,
    pub(crate) state: State,
    /// The member that this one takes for the primary, perhaps wrongly.
    pub(crate) believes: Option<usize>,
    /// Chosen anew at each start, as `topologyVersion` has it.
    pub(crate) process_id: ObjectId,
    /// One more at each change that clients should hear of.
    pub(crate) counter: i64,
    /// It does not stand for election before.
    pub(crate) stands_from: Instant,
}

impl Node {
    pub(crate) fn new(address: String, rng: &mut Rng) -> Self {
        Self {
            address,
            state: State::Running,
            believes: None,
            process_id: process_id(rng),
            counter: 0,
            stands_from: Instant::ZERO,
        }
    }

    /// Takes `primary` for the primary, and counts the change.
    pub(crate) fn learn(&mut self, primary: Option<usize>) {
        if self.believes != primary {
            self.believes = primary;
            self.counter += 1;
        }
    }

    /// A new process: nothing of the old one's counting is left.
    pub(crate) fn start(&mut self, primary: Option<usize>, rng: &mut Rng) {
        self.state = State::Running;
        self.believes = primary;
        self.process_id = process_id(rng);
        self.counter = 0;
    }
}

fn process_id(rng: &mut Rng) -> ObjectId {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&rng.next_u64().to_be_bytes());
    bytes[8..].copy_from_slice(&rng.next_u64().to_be_bytes()[..4]);
    ObjectId::from_bytes(bytes)
}
