//! The whole table of what an operation's failure says about its server.

use bson::oid::ObjectId;

use super::*;

const STAGES: [Stage; 4] =
    [Stage::Preparing, Stage::Handshaking, Stage::Authenticating, Stage::Established];

fn failure(stage: Stage, kind: FailureKind) -> Failure {
    let address = "a".parse().expect("an address");
    Failure { address, generation: 3, service_id: None, stage, kind }
}

fn command(code: i32) -> FailureKind {
    FailureKind::Command { code: Some(code), message: "no".into(), topology_version: None }
}

/// `-` nothing, `U` Unknown and a check, `C` the pool is cleared too, `L` lost.
fn outcome(failure: &Failure) -> char {
    match judge(failure, 3, None) {
        Reaction::Ignore => '-',
        Reaction::StateChanged { clear: false, .. } => 'U',
        Reaction::StateChanged { clear: true, .. } => 'C',
        Reaction::Lost { .. } => 'L',
    }
}

// IC-72, IC-74 to IC-77, IC-118: each kind of failure at each stage of a connection.
#[test]
fn every_failure_has_one_outcome_at_every_stage() {
    let table = [
        // Preparing, handshaking, authenticating, established.
        (FailureKind::Network("reset".into()), "L-LL"),
        (FailureKind::Timeout("late".into()), "L-L-"),
        // A duplicate key, an unknown command, a bad password.
        (command(11000), "LLL-"),
        (command(59), "LLL-"),
        (command(18), "LLL-"),
        // Not the primary, and recovering.
        (command(10107), "UUUU"),
        (command(13435), "UUUU"),
        (command(13436), "UUUU"),
        (command(189), "UUUU"),
        (command(11602), "UUUU"),
        // Shutting down.
        (command(91), "CCCC"),
        (command(11600), "CCCC"),
    ];
    for (kind, outcomes) in table {
        let seen: String =
            STAGES.iter().map(|stage| outcome(&failure(*stage, kind.clone()))).collect();
        assert_eq!(seen, outcomes, "{kind:?}");
    }
}

// IC-90, IC-118: what is older than what is known says nothing.
#[test]
fn what_is_out_of_date_changes_nothing() {
    let version = |process: u8, counter| TopologyVersion {
        process_id: ObjectId::from_bytes([process; 12]),
        counter,
    };
    let known = version(1, 5);
    let judged = |generation, topology_version| {
        let message: Arc<str> = "not primary".into();
        let kind = FailureKind::Command { code: Some(10107), message, topology_version };
        judge(&failure(Stage::Established, kind), generation, Some(&known)) == Reaction::Ignore
    };
    let table = [
        ("a newer counter", 3, Some(version(1, 6)), false),
        ("the same", 3, Some(version(1, 5)), true),
        ("an older one", 3, Some(version(1, 4)), true),
        ("another process", 3, Some(version(2, 1)), false),
        ("none", 3, None, false),
        ("a connection of an older generation", 4, Some(version(1, 6)), true),
        ("of a newer one", 2, Some(version(1, 6)), false),
    ];
    for (case, generation, topology_version, ignored) in table {
        assert_eq!(judged(generation, topology_version), ignored, "{case}");
    }
}
