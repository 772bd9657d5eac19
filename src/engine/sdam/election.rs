//! Which of two claimed primaries is the newer one.
//!
//! Specification: SDAM "updateRSFromPrimary", "Using electionId and setVersion to detect stale
//! primaries". Servers from 6.0 on compare (electionId, setVersion), older ones the other way
//! round.

use std::fmt;

use bson::oid::ObjectId;

/// The first wire version (MongoDB 6.0) whose servers put the election before the configuration.
const ELECTION_FIRST_WIRE_VERSION: i32 = 17;

/// The greatest election and configuration version that a topology has seen, or that a primary
/// claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) election_id: Option<ObjectId>,
    pub(super) set_version: Option<i64>,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.election_id {
            Some(id) => write!(f, "(electionId {id}, ")?,
            None => write!(f, "(no electionId, ")?,
        }
        match self.set_version {
            Some(version) => write!(f, "setVersion {version})"),
            None => write!(f, "no setVersion)"),
        }
    }
}

/// What a topology does with a claimed primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the newest so far; the topology's greatest becomes this.
    Accepted(Claim),
    /// An older election: the server is not the primary any more.
    Stale,
}

/// Judges the primary that claims `claim` and speaks up to `max_wire_version`.
pub(super) fn judge(greatest: Claim, claim: Claim, max_wire_version: i32) -> Verdict {
    if max_wire_version >= ELECTION_FIRST_WIRE_VERSION {
        election_first(greatest, claim)
    } else {
        set_version_first(greatest, claim)
    }
}

/// The rule of 6.0 and later. A missing value is less than any other, which is how `Option` orders.
fn election_first(greatest: Claim, claim: Claim) -> Verdict {
    let key = |claim: Claim| (claim.election_id.map(|id| id.bytes()), claim.set_version);
    if key(claim) >= key(greatest) { Verdict::Accepted(claim) } else { Verdict::Stale }
}

/// The rule before 6.0: compared only where both sides have both values; the greatest configuration
/// version is kept even where a claim names no election.
fn set_version_first(greatest: Claim, claim: Claim) -> Verdict {
    let mut next = greatest;
    if let (Some(set_version), Some(election_id)) = (claim.set_version, claim.election_id) {
        if let (Some(max_version), Some(max_election)) =
            (greatest.set_version, greatest.election_id)
            && (max_version, max_election.bytes()) > (set_version, election_id.bytes())
        {
            return Verdict::Stale;
        }
        next.election_id = Some(election_id);
    }
    if claim.set_version > next.set_version {
        next.set_version = claim.set_version;
    }
    Verdict::Accepted(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(election: Option<u8>, set_version: Option<i64>) -> Claim {
        let election_id = election.map(|n| {
            let mut bytes = [0; 12];
            bytes[11] = n;
            ObjectId::from_bytes(bytes)
        });
        Claim { election_id, set_version }
    }

    #[test]
    fn since_6_0_the_election_decides_first() {
        let greatest = claim(Some(2), Some(1));
        let newer = claim(Some(3), Some(0));
        assert_eq!(judge(greatest, newer, 17), Verdict::Accepted(newer));
        assert_eq!(judge(greatest, claim(Some(1), Some(9)), 17), Verdict::Stale);
        assert_eq!(judge(greatest, claim(None, Some(9)), 17), Verdict::Stale);
        assert_eq!(judge(greatest, claim(Some(2), None), 17), Verdict::Stale);
        assert_eq!(judge(greatest, greatest, 17), Verdict::Accepted(greatest));
    }

    #[test]
    fn before_6_0_the_configuration_decides_first() {
        let greatest = claim(Some(2), Some(5));
        assert_eq!(judge(greatest, claim(Some(9), Some(4)), 16), Verdict::Stale);
        assert_eq!(judge(greatest, claim(Some(1), Some(5)), 16), Verdict::Stale);
        let newer = claim(Some(1), Some(6));
        assert_eq!(judge(greatest, newer, 16), Verdict::Accepted(newer));
        let no_election = claim(None, Some(7));
        let kept = claim(Some(2), Some(7));
        assert_eq!(judge(greatest, no_election, 16), Verdict::Accepted(kept));
        assert_eq!(judge(greatest, claim(Some(1), None), 16), Verdict::Accepted(greatest));
    }

    // IC-88, IC-114: every pair of claims, in the order in which later ones win.
    #[test]
    fn since_6_0_every_pair_of_claims_is_ordered() {
        let parts = [None, Some(1), Some(2)];
        let ascending: Vec<Claim> = parts
            .iter()
            .flat_map(|election| parts.map(|version| claim(*election, version.map(i64::from))))
            .collect();
        assert_eq!(ascending.len(), 9);
        for (i, greatest) in ascending.iter().enumerate() {
            for (j, arriving) in ascending.iter().enumerate() {
                let accepted = judge(*greatest, *arriving, 17) == Verdict::Accepted(*arriving);
                assert_eq!(accepted, i <= j, "{arriving} behind {greatest}");
            }
        }
    }

    // SD-78, IC-114: servers before 6.0, where a claim with a part missing is never stale.
    #[test]
    fn before_6_0_only_whole_claims_are_compared() {
        let parts = [None, Some(1), Some(2)];
        let claims = || {
            let pairs = parts.iter().flat_map(|version| parts.map(|election| (*version, election)));
            pairs.map(|(version, election)| claim(election, version.map(i64::from)))
        };
        let whole = |claim: &Claim| Some((claim.set_version?, claim.election_id?.bytes()));
        for greatest in claims() {
            for arriving in claims() {
                let older = match (whole(&greatest), whole(&arriving)) {
                    (Some(greatest), Some(arriving)) => arriving < greatest,
                    _ => false,
                };
                let stale = judge(greatest, arriving, 16) == Verdict::Stale;
                assert_eq!(stale, older, "{arriving} behind {greatest}");
            }
        }
    }
}
