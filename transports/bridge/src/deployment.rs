//! What the demo's buttons act on.

use serde::{Deserialize, Serialize};

/// A deployment that the bridge has started itself and may harm.
///
/// All calls may block: they are made on threads of their own.
pub trait Deployment: Send + Sync + 'static {
    /// What it is, for people: `mongod 6.0.5` or `simulated`.
    fn kind(&self) -> String;

    /// How to connect to it.
    fn uri(&self) -> String;

    /// Its members, in the order of their ids.
    fn members(&self) -> Vec<MemberStatus>;

    /// Does `action` to the member `id`.
    ///
    /// # Errors
    ///
    /// Why it was not done.
    fn act(&self, id: usize, action: MemberAction) -> Result<(), ActionError>;
}

/// One member of a [`Deployment`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemberStatus {
    /// Its place in the set, from 0.
    pub id: usize,
    /// Where it listens.
    pub address: String,
    /// Whether it runs.
    pub state: MemberState,
}

/// Whether a member runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// It runs.
    Running,
    /// It exists but does not move (SIGSTOP).
    Frozen,
    /// Its process is gone.
    Stopped,
}

/// What a button does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberAction {
    /// The primary gives up its office (`replSetStepDown`).
    StepDown,
    /// The process stops moving (SIGSTOP).
    Freeze,
    /// It moves again (SIGCONT).
    Thaw,
    /// The process dies at once (SIGKILL).
    Kill,
    /// A dead member is started again.
    Restart,
}

/// Why an action was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionError {
    /// There is no such member.
    NoSuchMember,
    /// Its state does not allow it, or the server said no.
    Refused(String),
}
