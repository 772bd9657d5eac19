//! Options that this version cannot honour: refused where safety is at stake, else named.

use std::sync::Arc;
use std::time::Duration;

use portolan::options::ClientOptions;
use portolan::{Client, ReadPreference};

use super::support::{Bed, ms, secs};

fn make(bed: &Bed, options: ClientOptions) -> portolan::Result<Client> {
    Client::new(options, Arc::new(bed.net.clone())).map(|(client, _driver)| client)
}

fn parsed(bed: &Bed, options: &str) -> ClientOptions {
    ClientOptions::parse(&bed.uri(options)).expect("good options")
}

#[test]
fn what_can_be_done_without_is_named() {
    let bed = Bed::set(0);
    let options = "compressors=lz4,zlib&serverSelectionTryOnce=true&unknown=1";
    let client = make(&bed, parsed(&bed, options)).expect("a client");
    let warnings = &client.options().warnings;
    for word in ["compressors", "serverSelectionTryOnce", "unknown"] {
        assert!(warnings.iter().any(|warning| warning.contains(word)), "{word}: {warnings:?}");
    }
    assert_eq!(warnings.len(), 3);
    let client = make(&bed, parsed(&bed, "")).expect("a client");
    assert_eq!(client.options().warnings, [] as [String; 0]);
}

#[test]
fn options_made_by_hand_are_checked() {
    let bed = Bed::set(0);
    let options = ClientOptions { max_connecting: 0, ..parsed(&bed, "") };
    let error = make(&bed, options).expect_err("nobody could ever connect");
    assert!(error.to_string().contains("maxConnecting"), "{error}");
    let options = ClientOptions { heartbeat_frequency: Some(ms(499)), ..parsed(&bed, "") };
    assert!(make(&bed, options).is_err());
}

#[test]
fn a_time_limit_of_zero_is_none_and_the_longest_is_no_overflow() {
    for limit in [Duration::ZERO, Duration::MAX] {
        let bed = Bed::set(0);
        let options = ClientOptions {
            connect_timeout: Some(limit),
            socket_timeout: Some(limit),
            wait_queue_timeout: Some(limit),
            max_idle_time: Some(limit),
            heartbeat_frequency: Some(limit.max(secs(10))),
            server_selection_timeout: Duration::MAX,
            ..parsed(&bed, "")
        };
        let client = bed.client_of(options);
        bed.advance(secs(30));
        let ping = client.clone();
        bed.run(async move { ping.ping(ReadPreference::primary()).await }).expect("a ping");
        bed.advance(secs(30));
    }
}
