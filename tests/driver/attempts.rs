//! Attempts at several addresses of one host, on a virtual clock (RFC 8305).

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use portolan::transport::{Transport, connect_to_any};

use super::support::{Bed, ms};

/// An address, after how many milliseconds it answers, and whether it accepts.
type Rule = (&'static str, u64, bool);

/// What came of the attempts, and when each began (milliseconds).
struct Outcome {
    winner: io::Result<SocketAddr>,
    began: Vec<(SocketAddr, u64)>,
    took: Duration,
}

fn attempt(rules: &'static [Rule]) -> Outcome {
    let bed = Bed::standalone();
    let start = bed.now();
    let began = Rc::new(RefCell::new(Vec::new()));
    let (net, log) = (bed.net.clone(), began.clone());
    let winner = bed.run(async move {
        let addresses: Vec<SocketAddr> = rules.iter().map(|rule| parse(rule.0)).collect();
        let connect = |address: SocketAddr| {
            let (_, delay, succeeds) =
                *rules.iter().find(|rule| parse(rule.0) == address).expect("a known address");
            let (net, log) = (net.clone(), log.clone());
            async move {
                log.borrow_mut().push((address, (net.now() - start).as_millis() as u64));
                net.sleep_until(net.now() + ms(delay)).await;
                if succeeds { Ok(address) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
            }
        };
        connect_to_any(&net, addresses, connect).await
    });
    let began = began.borrow().clone();
    Outcome { winner, began, took: bed.now() - start }
}

fn parse(text: &str) -> SocketAddr {
    text.parse().expect("a test's address")
}

#[test]
fn the_next_address_has_its_turn_after_a_quarter_of_a_second() {
    let outcome = attempt(&[("[::1]:1", 100_000, true), ("127.0.0.1:1", 20, true)]);
    assert_eq!(outcome.winner.expect("the second"), parse("127.0.0.1:1"));
    assert_eq!(outcome.took, ms(270));
    assert_eq!(outcome.began, [(parse("[::1]:1"), 0), (parse("127.0.0.1:1"), 250)]);
}

#[test]
fn an_address_that_answers_in_time_is_the_only_one_tried() {
    let outcome = attempt(&[("[::1]:1", 240, true), ("127.0.0.1:1", 0, true)]);
    assert_eq!(outcome.winner.expect("the first"), parse("[::1]:1"));
    assert_eq!(outcome.began.len(), 1);
}

#[test]
fn a_slow_address_still_wins_if_the_later_one_is_slower() {
    let outcome = attempt(&[("[::1]:1", 300, true), ("127.0.0.1:1", 100, true)]);
    assert_eq!(outcome.winner.expect("the first"), parse("[::1]:1"));
    assert_eq!(outcome.took, ms(300));
}

#[test]
fn a_refusal_makes_the_next_attempt_begin_at_once() {
    let outcome =
        attempt(&[("[::1]:1", 5, false), ("[::2]:1", 5, true), ("127.0.0.1:1", 5, false)]);
    assert_eq!(outcome.winner.expect("the third in turn"), parse("[::2]:1"));
    let began: Vec<u64> = outcome.began.iter().map(|(_, at)| *at).collect();
    assert_eq!(began, [0, 5, 10]);
    assert_eq!(outcome.began[1].0, parse("127.0.0.1:1"), "the families take turns");
}

#[test]
fn all_refusals_are_told_together() {
    let outcome = attempt(&[("[::1]:1", 600, false), ("127.0.0.1:1", 1, false)]);
    let error = outcome.winner.expect_err("nobody answers");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let text = error.to_string();
    assert!(text.contains("[::1]:1: ") && text.contains("127.0.0.1:1: "), "{text}");
    assert_eq!(outcome.took, ms(600));
    let alone = attempt(&[("127.0.0.1:1", 1, false)]).winner.expect_err("nobody answers");
    assert!(!alone.to_string().contains("127.0.0.1"), "the caller knows the address: {alone}");
}
