//! What is probably wrong with a deployment in which no server suits.
//!
//! Facts of the topology that people otherwise find out by long search (GAP-06 and its like). A
//! hint says what was seen and what to do; it is a guess, so it never replaces the reasons of the
//! servers.

use std::fmt;

use crate::engine::address::ServerAddress;
use crate::engine::sdam::{
    Departure, DescriptionError, LinkErrorKind, ServerType, TlsProblem, TopologyDescription,
    TopologyType,
};

/// A likely root cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A server was removed from the topology.
    LeftOut(Departure),
    /// The set's configuration names members, none of which answers, though a seed did.
    NamesDoNotAnswer {
        /// The members as the configuration names them.
        members: Vec<ServerAddress>,
    },
    /// Members answer, none of which is primary.
    NoPrimary {
        /// How many secondaries answer.
        secondaries: usize,
        /// How many members do not.
        silent: usize,
    },
    /// Every server hangs up on the first words: it may expect TLS.
    HangsUp,
    /// Every server breaks off the TLS handshake, or answers something else: it may not speak TLS.
    NotTls,
}

/// What is probably wrong.
pub fn hints(topology: &TopologyDescription) -> Vec<Hint> {
    let mut hints: Vec<Hint> = topology.left_out.values().cloned().map(Hint::LeftOut).collect();
    let servers = || topology.servers.values();
    let silent = servers().filter(|server| !server.server_type.is_known()).count();
    let answered_once = !topology.left_out.is_empty();
    if silent > 0 && silent == topology.servers.len() {
        if answered_once {
            let members = topology.servers.keys().cloned().collect();
            hints.push(Hint::NamesDoNotAnswer { members });
        } else {
            let all = |wrong: fn(&DescriptionError) -> bool| {
                servers().all(|server| server.error.as_ref().is_some_and(wrong))
            };
            if all(|error| error.kind.is_some_and(speaks_no_tls)) {
                hints.push(Hint::NotTls);
            } else if all(|error| error.message.contains(CLOSED)) {
                hints.push(Hint::HangsUp);
            }
        }
    }
    let secondaries =
        servers().filter(|server| server.server_type == ServerType::RSSecondary).count();
    if topology.topology_type == TopologyType::ReplicaSetNoPrimary && secondaries > 0 {
        hints.push(Hint::NoPrimary { secondaries, silent });
    }
    hints
}

/// A plain server closes the connection at what it takes for a message of its own.
fn speaks_no_tls(kind: LinkErrorKind) -> bool {
    matches!(kind, LinkErrorKind::Tls(TlsProblem::NotTls | TlsProblem::BrokenOff))
}

/// How the shell calls a connection that the server has closed.
const CLOSED: &str = "closed the connection";

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeftOut(departure) => departure.fmt(f),
            Self::NamesDoNotAnswer { members } => {
                f.write_str("the set's configuration names its members")?;
                for (i, member) in members.iter().enumerate() {
                    write!(f, "{} {member}", if i == 0 { "" } else { "," })?;
                }
                f.write_str(
                    ", and none of these names answers from here: make them resolve and reachable, \
                     or use directConnection=true to talk to one member",
                )
            }
            Self::NoPrimary { secondaries, silent: 0 } => {
                write!(f, "{secondaries} secondaries answer and no member is primary: ")?;
                f.write_str("an election may be under way")
            }
            Self::NoPrimary { secondaries, silent } => write!(
                f,
                "{secondaries} of {} members answer, and none is primary: a set elects one only \
                 while a majority of its voting members is up",
                secondaries + silent
            ),
            Self::HangsUp => f.write_str(
                "every server closes the connection at once: it may expect TLS (tls=true), with \
                 TLS a certificate of the client's (tlsCertificateKeyFile), or refuse this \
                 client's address",
            ),
            Self::NotTls => f.write_str(
                "every server breaks off the TLS handshake: it may not speak TLS at all \
                 (tls=false), or refuse this client's address",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{server, topology};
    use super::*;
    use crate::engine::sdam::{DepartureReason, ServerDescription};
    use crate::engine::time::Instant;

    fn left_out(reason: DepartureReason) -> Departure {
        let address = "seed:27017".parse().unwrap();
        Departure { address, at: Instant::ZERO, reason }
    }

    #[test]
    fn names_that_do_not_answer_are_named() {
        let unknown = server("db1").build();
        let mut topology = topology(TopologyType::ReplicaSetNoPrimary, vec![unknown]);
        let departure = left_out(DepartureReason::OtherName { me: "db1:27017".to_owned() });
        topology.left_out.insert(departure.address.clone(), departure);
        let said: Vec<String> = hints(&topology).iter().map(Hint::to_string).collect();
        assert_eq!(
            said,
            [
                "seed:27017 was left out: the set's configuration calls it db1:27017; the client \
                 uses that name",
                "the set's configuration names its members db1:27017, and none of these names \
                 answers from here: make them resolve and reachable, or use directConnection=true \
                 to talk to one member",
            ]
        );
    }

    #[test]
    fn a_set_without_a_majority_says_so() {
        let secondary = server("a").kind(ServerType::RSSecondary).build();
        let silent = server("b").build();
        let topology = topology(TopologyType::ReplicaSetNoPrimary, vec![secondary, silent]);
        assert_eq!(hints(&topology), [Hint::NoPrimary { secondaries: 1, silent: 1 }]);
    }

    #[test]
    fn servers_that_hang_up_may_expect_tls() {
        let error = DescriptionError::new(Instant::ZERO, "the server closed the connection");
        let hung_up = ServerDescription::failed(ServerAddress::tcp("a", 1), error);
        let hung_up = topology(TopologyType::Unknown, vec![hung_up.into()]);
        assert_eq!(hints(&hung_up), [Hint::HangsUp]);
        let error = DescriptionError::new(Instant::ZERO, "the TLS handshake with a broke off")
            .of_kind(LinkErrorKind::Tls(TlsProblem::BrokenOff));
        let plain = ServerDescription::failed(ServerAddress::tcp("a", 1), error);
        let plain = topology(TopologyType::Unknown, vec![plain.into()]);
        assert_eq!(hints(&plain), [Hint::NotTls]);
        let fresh = topology(TopologyType::Unknown, vec![server("a").build()]);
        assert_eq!(hints(&fresh), []);
    }
}
