//! The demo's deployment where no mongod is to be had: a simulated replica set.

use portolan_bridge::{ActionError, Deployment, MemberAction, MemberState, MemberStatus};
use portolan_sim::{Fault, Refused, SimulatedSet, State};

/// A simulated replica set on loopback.
pub(crate) struct Simulated(SimulatedSet);

impl Simulated {
    /// Starts a set of `members` on free ports.
    ///
    /// # Errors
    ///
    /// No port can be listened on.
    pub(crate) fn start(members: usize) -> std::io::Result<Self> {
        SimulatedSet::start("rs0", members, None).map(Self)
    }
}

impl Deployment for Simulated {
    fn kind(&self) -> String {
        "simulated".to_owned()
    }

    fn uri(&self) -> String {
        self.0.uri()
    }

    fn members(&self) -> Vec<MemberStatus> {
        let status = |member: portolan_sim::MemberInfo| MemberStatus {
            id: member.id,
            address: member.address,
            state: match member.state {
                State::Running => MemberState::Running,
                State::Frozen => MemberState::Frozen,
                State::Stopped => MemberState::Stopped,
            },
        };
        self.0.members().into_iter().map(status).collect()
    }

    fn act(&self, id: usize, action: MemberAction) -> Result<(), ActionError> {
        let fault = match action {
            MemberAction::StepDown => Fault::StepDown,
            MemberAction::Freeze => Fault::Freeze,
            MemberAction::Thaw => Fault::Thaw,
            MemberAction::Kill => Fault::Kill,
            MemberAction::Restart => Fault::Restart,
        };
        self.0.fault(id, fault).map_err(|refused| match refused {
            Refused::NoSuchMember => ActionError::NoSuchMember,
            other => ActionError::Refused(other.to_string()),
        })
    }
}
