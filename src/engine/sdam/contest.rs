//! Two servers that both claim to be the primary, and which of them the rules believe (GAP-05).
//!
//! While a deposed primary has not noticed, a client hears two claims. The rules settle it by
//! (electionId, setVersion); this says what they saw.

use std::fmt;

use serde::{Serialize, Serializer};

use super::election::Claim;
use super::server::{ServerDescription, ServerType};
use super::topology::TopologyDescription;
use crate::engine::address::ServerAddress;

/// Two claims to be the primary, settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contest {
    /// Who is believed; `None` where an election is known whose primary is not.
    pub winner: Option<ServerAddress>,
    /// Its claim, or the greatest that was seen.
    #[serde(serialize_with = "as_text")]
    pub greatest: ClaimText,
    /// Who is not believed.
    pub loser: ServerAddress,
    /// Its claim.
    #[serde(serialize_with = "as_text")]
    pub claim: ClaimText,
}

/// A claim as text: `(electionId ..., setVersion ...)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimText(String);

impl fmt::Display for ClaimText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn as_text<S: Serializer>(claim: &ClaimText, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&claim.0)
}

impl fmt::Display for Contest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { winner, greatest, loser, claim } = self;
        match winner {
            Some(winner) => write!(f, "{winner} {greatest} is believed over {loser} {claim}"),
            None => write!(f, "{loser} {claim} is not believed: {greatest} was seen"),
        }
    }
}

/// The contest that `server`, which claims to be primary, has caused.
pub(super) fn contest(
    previous: &TopologyDescription,
    next: &TopologyDescription,
    server: &ServerDescription,
) -> Option<Contest> {
    if server.server_type != ServerType::RSPrimary {
        return None;
    }
    let believed = |address: &ServerAddress| {
        next.server(address).is_some_and(|server| server.server_type == ServerType::RSPrimary)
    };
    let other = previous.primary().filter(|other| other.address != server.address);
    if believed(&server.address) {
        // The other one was displaced.
        let other = other?;
        let winner = Some(server.address.clone());
        let (greatest, claim) = (text(claim_of(server)), text(claim_of(other)));
        return Some(Contest { winner, greatest, loser: other.address.clone(), claim });
    }
    // Removed, or of another set: no contest. Unknown: its claim was too old.
    next.server(&server.address)?;
    let greatest = Claim { election_id: next.max_election_id, set_version: next.max_set_version };
    Some(Contest {
        winner: other.map(|other| other.address.clone()),
        greatest: text(greatest),
        loser: server.address.clone(),
        claim: text(claim_of(server)),
    })
}

fn claim_of(server: &ServerDescription) -> Claim {
    Claim { election_id: server.election_id(), set_version: server.set_version() }
}

fn text(claim: Claim) -> ClaimText {
    ClaimText(claim.to_string())
}
