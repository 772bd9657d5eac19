//! Sessions against a server of rustls in memory.

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};

use super::*;

/// A server of the name a.example, and the options of a client that trusts it.
fn server() -> (ServerConnection, TlsOptions) {
    let certified = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let options = TlsOptions { ca: Some(certified.cert.pem()), ..TlsOptions::default() };
    (ServerConnection::new(Arc::new(config)).unwrap(), options)
}

/// What the session has to say, to the server, whose answer is returned.
fn deliver(session: &mut Session, server: &mut ServerConnection) -> Vec<u8> {
    let sealed = session.take_sealed();
    let mut rest = &sealed[..];
    while !rest.is_empty() {
        server.read_tls(&mut rest).unwrap();
        server.process_new_packets().unwrap();
    }
    let mut answer = Vec::new();
    while server.wants_write() {
        server.write_tls(&mut answer).unwrap();
    }
    answer
}

fn shake_hands(session: &mut Session, server: &mut ServerConnection) {
    let mut rounds = 0;
    while session.is_handshaking() {
        let answer = deliver(session, server);
        session.put_sealed(&answer).unwrap();
        rounds += 1;
        assert!(rounds < 5, "the handshake does not end");
    }
    let tickets = deliver(session, server);
    session.put_sealed(&tickets).unwrap();
}

#[test]
fn what_is_put_in_comes_out_at_the_other_end() {
    let (mut server, options) = server();
    let mut session = SessionConfig::new(&options).unwrap().session("a.example").unwrap();
    shake_hands(&mut session, &mut server);
    assert!(session.take_plain().is_empty() && !session.has_ended());

    assert_eq!(session.put_plain(b"ahoy"), 4);
    assert!(deliver(&mut session, &mut server).is_empty());
    let mut heard = [0; 8];
    assert_eq!(server.reader().read(&mut heard).unwrap(), 4);
    assert_eq!(&heard[..4], b"ahoy");

    // More than one record, a byte at a time.
    let letter = vec![7; 40_000];
    server.writer().write_all(&letter).unwrap();
    let mut received = Vec::new();
    for byte in deliver(&mut session, &mut server) {
        session.put_sealed(&[byte]).unwrap();
        received.extend(session.take_plain());
    }
    assert_eq!(received, letter);
}

#[test]
fn more_than_there_is_room_for_waits() {
    let (mut server, options) = server();
    let mut session = SessionConfig::new(&options).unwrap().session("a.example").unwrap();
    shake_hands(&mut session, &mut server);
    let letter = vec![1; 1_000_000];
    let first = session.put_plain(&letter);
    assert!(0 < first && first < letter.len(), "{first}");
    assert_eq!(session.put_plain(&letter[first..]), 0);
    session.take_sealed();
    assert!(session.put_plain(&letter[first..]) > 0);
}

#[test]
fn a_farewell_ends_a_session_and_what_came_before_is_read() {
    let (mut server, options) = server();
    let mut session = SessionConfig::new(&options).unwrap().session("a.example").unwrap();
    shake_hands(&mut session, &mut server);
    server.writer().write_all(b"the end").unwrap();
    server.send_close_notify();
    let sealed = deliver(&mut session, &mut server);
    session.put_sealed(&sealed).unwrap();
    assert!(session.has_ended());
    assert_eq!(session.take_plain(), b"the end");
    session.close();
    assert!(!session.take_sealed().is_empty());
}

#[test]
fn a_certificate_that_is_not_trusted_ends_the_handshake_in_words() {
    let (mut one, _) = server();
    let (_, options) = server();
    let config = SessionConfig::new(&options).unwrap();
    let mut session = config.session("a.example").unwrap();
    let answer = deliver(&mut session, &mut one);
    let error = session.put_sealed(&answer).unwrap_err();
    assert_ne!(error.problem, TlsProblem::Handshake);
    assert!(error.to_string().contains("the certificate of a.example"), "{error}");
    // The server is told.
    assert!(!session.take_sealed().is_empty());

    let (mut other, options) = server();
    let config = SessionConfig::new(&options).unwrap();
    let mut session = config.session("b.example").unwrap();
    let answer = deliver(&mut session, &mut other);
    let error = session.put_sealed(&answer).unwrap_err();
    assert_eq!(error.problem, TlsProblem::WrongHost, "{error}");
    assert_eq!(config.session("no host").unwrap_err().problem, TlsProblem::WrongHost);
}
