//! Tests of [`super`]: the rules of retryable-reads and retryable-writes, one by one.

use bson::rawdoc;

use super::*;
use crate::engine::op::{WriteConcernError, WriteError, WriteFailure};

fn policy(retryability: Retryability) -> RetryPolicy {
    RetryPolicy {
        retryability,
        retry_reads: true,
        retry_writes: true,
        in_transaction: false,
        acknowledged: true,
    }
}

fn server(max_wire_version: i32) -> AttemptServer {
    AttemptServer { supports_retryable_writes: true, max_wire_version, is_mongos: false }
}

fn concern_error(code: i32) -> WriteConcernError {
    WriteConcernError { code, code_name: None, message: "x".into(), details: None }
}

fn command(code: i32, labels: &[&str]) -> ReplyFailure {
    ReplyFailure::Command(Box::new(CommandFailure {
        code: Some(code),
        code_name: None,
        message: "x".into(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        topology_version: None,
        write_concern_error: None,
        raw: rawdoc! {},
    }))
}

fn write(error: Option<i32>, concern: Option<i32>) -> ReplyFailure {
    let error = error.map(|code| WriteError {
        index: 0,
        code,
        code_name: None,
        message: "x".into(),
        details: None,
    });
    ReplyFailure::Write(Box::new(WriteFailure {
        write_errors: error.into_iter().collect(),
        write_concern_error: concern.map(concern_error),
        labels: vec![],
        topology_version: None,
        n: 0,
        raw: rawdoc! {},
    }))
}

fn labelled(policy: RetryPolicy, server: AttemptServer, mut failure: ReplyFailure) -> bool {
    policy.add_labels(&server, &mut failure);
    failure.has_label(RETRYABLE_WRITE_ERROR)
}

#[test]
fn the_driver_labels_only_what_a_server_before_4_4_said() {
    let write_policy = policy(Retryability::Write);
    assert!(labelled(write_policy, server(8), command(10107, &[])));
    assert!(!labelled(write_policy, server(9), command(10107, &[])));
    assert!(!labelled(write_policy, server(8), command(134, &[])), "a code of reads only");
    assert!(!labelled(write_policy, server(8), command(11000, &[])));
    assert!(labelled(write_policy, server(8), write(None, Some(91))));
    let mongos = AttemptServer { is_mongos: true, ..server(8) };
    assert!(!labelled(write_policy, mongos, write(None, Some(91))), "a mongos' concern error");
    assert!(labelled(write_policy, mongos, command(91, &[])));
    assert!(!labelled(write_policy, server(8), write(Some(91), None)), "a write error");
}

#[test]
fn the_driver_labels_nothing_where_writes_are_not_retried() {
    let write_policy = policy(Retryability::Write);
    for policy in [
        policy(Retryability::None),
        policy(Retryability::Read),
        RetryPolicy { retry_writes: false, ..write_policy },
        RetryPolicy { in_transaction: true, ..write_policy },
    ] {
        assert!(!labelled(policy, server(8), command(10107, &[])), "{policy:?}");
        assert!(!policy.labels_network_errors(None), "{policy:?}");
    }
    let unsupported = AttemptServer { supports_retryable_writes: false, ..server(8) };
    assert!(!labelled(write_policy, unsupported, command(10107, &[])));
    assert!(!write_policy.labels_network_errors(Some(&unsupported)));
    assert!(write_policy.labels_network_errors(Some(&server(17))), "whatever the version");
    assert!(write_policy.labels_network_errors(None), "while connecting");
}

#[test]
fn a_read_is_retried_once_after_a_retryable_error() {
    let policy = policy(Retryability::Read);
    let server = AttemptServer { supports_retryable_writes: false, ..server(17) };
    let (retryable, other) = (command(134, &[]), command(50, &[RETRYABLE_WRITE_ERROR]));
    for (error, expected) in [
        (AttemptError::Network, true),
        (AttemptError::PoolCleared, true),
        (AttemptError::Reply(&retryable), true),
        (AttemptError::Reply(&other), false),
        (AttemptError::Client, false),
    ] {
        assert_eq!(policy.should_retry(1, &server, error), expected, "{error:?}");
        assert!(!policy.should_retry(2, &server, error), "{error:?}");
        let off = RetryPolicy { retry_reads: false, ..policy };
        assert!(!off.should_retry(1, &server, error), "{error:?}");
        let transaction = RetryPolicy { in_transaction: true, ..policy };
        assert!(!transaction.should_retry(1, &server, error), "{error:?}");
    }
}

#[test]
fn a_write_is_retried_once_after_a_labelled_error() {
    let policy = policy(Retryability::Write);
    let (marked, plain) = (command(10107, &[RETRYABLE_WRITE_ERROR]), command(10107, &[]));
    for (error, expected) in [
        (AttemptError::Network, true),
        (AttemptError::PoolCleared, true),
        (AttemptError::Reply(&marked), true),
        (AttemptError::Reply(&plain), false),
        (AttemptError::Client, false),
    ] {
        assert_eq!(policy.should_retry(1, &server(17), error), expected, "{error:?}");
        assert!(!policy.should_retry(2, &server(17), error), "{error:?}");
        for off in [
            RetryPolicy { retry_writes: false, ..policy },
            RetryPolicy { in_transaction: true, ..policy },
            RetryPolicy { acknowledged: false, ..policy },
            RetryPolicy { retryability: Retryability::None, ..policy },
        ] {
            assert!(!off.should_retry(1, &server(17), error), "{off:?} {error:?}");
            assert!(!off.needs_transaction_number(&server(17)), "{off:?}");
        }
        let unsupported = AttemptServer { supports_retryable_writes: false, ..server(17) };
        assert!(!policy.should_retry(1, &unsupported, error), "{error:?}");
        assert!(!policy.needs_transaction_number(&unsupported));
    }
    assert!(policy.needs_transaction_number(&server(17)));
}

#[test]
fn the_error_to_tell_is_the_latest_that_may_have_written() {
    let told = |errors: &[(&'static str, bool)]| {
        let mut kept = KeptError::default();
        assert!(!kept.is_some());
        errors.iter().for_each(|(error, attempt)| kept.record(*error, *attempt));
        kept.into_inner()
    };
    assert_eq!(told(&[]), None);
    assert_eq!(told(&[("a", true), ("b", true)]), Some("b"));
    assert_eq!(told(&[("a", false), ("b", false)]), Some("a"));
    assert_eq!(told(&[("a", true), ("b", false)]), Some("a"));
    assert_eq!(told(&[("a", false), ("b", true)]), Some("b"));
    assert_eq!(told(&[("a", false), ("b", true), ("c", false)]), Some("b"));
}

#[test]
fn an_error_before_the_server_or_with_the_label_wrote_nothing() {
    let denied = command(91, &[NO_WRITES_PERFORMED]);
    let plain = command(91, &[]);
    assert!(!indicates_attempt(AttemptError::Reply(&denied)));
    assert!(indicates_attempt(AttemptError::Reply(&plain)));
    assert!(indicates_attempt(AttemptError::Network));
    assert!(!indicates_attempt(AttemptError::PoolCleared));
    assert!(!indicates_attempt(AttemptError::Client));
}

#[test]
fn a_deployment_without_retryable_writes_is_explained() {
    let failure = |code, message: &str| match command(code, &[]) {
        ReplyFailure::Command(failure) => CommandFailure { message: message.into(), ..*failure },
        other => panic!("{other:?}"),
    };
    let text = "Transaction numbers are only allowed on a replica set member or mongos";
    let mut refused = failure(20, text);
    explain_transaction_numbers(&mut refused);
    assert!(refused.message.contains("retryWrites=false"));
    for mut other in [failure(20, "Other"), failure(21, text)] {
        let before = other.clone();
        explain_transaction_numbers(&mut other);
        assert_eq!(other, before);
    }
}

#[test]
fn a_failed_mongos_or_an_overloaded_server_is_avoided() {
    let overloaded = command(462, &[SYSTEM_OVERLOADED_ERROR]);
    let mongos = AttemptServer { is_mongos: true, ..server(17) };
    assert!(deprioritizes(AttemptError::Network, &mongos));
    assert!(!deprioritizes(AttemptError::Network, &server(17)));
    assert!(deprioritizes(AttemptError::Reply(&overloaded), &server(17)));
}

#[test]
fn an_error_of_the_known_state_is_believed_to_be_ahead_of_it() {
    use crate::engine::sdam::ServerType::{RSPrimary, Unknown};
    let address: ServerAddress = "a:1".parse().unwrap();
    let version =
        |counter| TopologyVersion { process_id: bson::oid::ObjectId::from_bytes([7; 12]), counter };
    let topology = |server_type, counter| {
        let mut server = ServerDescription::unknown(address.clone());
        server.server_type = server_type;
        server.topology_version = Some(version(counter));
        let mut topology = TopologyDescription::empty();
        topology.servers.insert(address.clone(), server.into());
        topology
    };
    assert_eq!(Outdated::of(&address, None), None);
    let outdated = Outdated::of(&address, Some(version(3))).unwrap();
    assert!(outdated.is_believed(&topology(RSPrimary, 3)));
    assert!(!outdated.is_believed(&topology(Unknown, 3)), "SDAM took the error for news");
    assert!(!outdated.is_believed(&topology(RSPrimary, 4)));
    assert!(!outdated.is_believed(&TopologyDescription::empty()));
}
