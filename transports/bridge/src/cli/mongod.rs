//! The demo's deployment: a replica set of real servers.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use portolan_bridge::{ActionError, Deployment, MemberAction, MemberState, MemberStatus};
use portolan_support::{Error, MongodBinary, ReplicaSet, ReplicaSetOptions};

/// A replica set that this program has started; it stops with it.
pub(crate) struct Mongod(Mutex<ReplicaSet>);

impl Mongod {
    /// Starts a set of `members`, and waits until it has a primary. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::NoBinary`] where there is no mongod; anything else where it does not start.
    pub(crate) fn start(mongod: Option<&Path>, members: usize) -> Result<Self, Error> {
        let binary = match mongod {
            Some(path) => MongodBinary::at(path)?,
            None => MongodBinary::find(None)?,
        };
        ReplicaSet::start(ReplicaSetOptions::new(binary, members)).map(|set| Self(Mutex::new(set)))
    }

    fn set(&self) -> MutexGuard<'_, ReplicaSet> {
        // A panic in the middle of an action leaves a set that can still be looked at and stopped.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a primary that stepped down does not stand for election again, in seconds.
const STEPPED_DOWN_SECS: u32 = 10;

impl Deployment for Mongod {
    fn kind(&self) -> String {
        format!("mongod {}", self.set().version())
    }

    fn uri(&self) -> String {
        self.set().uri()
    }

    fn members(&self) -> Vec<MemberStatus> {
        let set = self.set();
        let status = |(id, member): (usize, &portolan_support::Member)| MemberStatus {
            id,
            address: member.address().to_string(),
            state: match member.state() {
                portolan_support::MemberState::Running => MemberState::Running,
                portolan_support::MemberState::Frozen => MemberState::Frozen,
                portolan_support::MemberState::Stopped => MemberState::Stopped,
            },
        };
        set.members().iter().enumerate().map(status).collect()
    }

    fn act(&self, id: usize, action: MemberAction) -> Result<(), ActionError> {
        let mut set = self.set();
        if id >= set.members().len() {
            return Err(ActionError::NoSuchMember);
        }
        let member = set.member_mut(id);
        let state = member.state();
        use portolan_support::MemberState::{Frozen, Running, Stopped};
        let done = match (action, state) {
            (MemberAction::StepDown, Running) => member.step_down(STEPPED_DOWN_SECS),
            (MemberAction::Freeze, Running) => member.freeze(),
            (MemberAction::Thaw, Frozen) => member.thaw(),
            (MemberAction::Kill, Running | Frozen) => member.kill(),
            (MemberAction::Restart, Stopped) => member.restart(),
            (MemberAction::StepDown | MemberAction::Freeze, Frozen | Stopped)
            | (MemberAction::Thaw, Running | Stopped)
            | (MemberAction::Kill, Stopped)
            | (MemberAction::Restart, Running | Frozen) => {
                let text = format!("member {id} is {}", state.as_str());
                return Err(ActionError::Refused(text));
            }
        };
        done.map_err(|error| ActionError::Refused(error.to_string()))
    }
}
