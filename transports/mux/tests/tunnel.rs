//! Both ends of a tunnel over messages in memory, on one thread: streams, credits, refusals, ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod common;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use common::{FRAME_HEADER, Messages, Serve, echo, messages, serve_all, target, world};
use futures_executor::LocalPool;
use futures_util::future::join_all;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use futures_util::task::LocalSpawnExt as _;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use portolan_mux::{ClientTunnel, Limits, MessageIo, Refusal, RefusalCode, Target};

#[test]
fn many_streams_carry_their_own_bytes() {
    let mut world = world(Limits::default(), echo());
    let client = world.client.clone();
    let streams = join_all((0..100_u8).map(|number| {
        let client = client.clone();
        async move {
            let stream = client.open(&target()).await.unwrap();
            let (mut reader, mut writer) = stream.split();
            let sent = vec![number; 1000 + 997 * usize::from(number)];
            let write = async {
                writer.write_all(&sent).await.unwrap();
                writer.close().await.unwrap();
            };
            let mut back = Vec::new();
            let read = reader.read_to_end(&mut back);
            futures_util::future::join(write, read).await.1.unwrap();
            assert_eq!(back, sent, "stream {number}");
        }
    }));
    world.pool.run_until(streams);
}

#[test]
fn the_open_request_travels_with_the_first_bytes() {
    let mut world = world(Limits::default(), echo());
    let client = world.client.clone();
    let sent = world.client_sent.clone();
    world.pool.run_until(async move {
        let mut stream = client.open(&target()).await.unwrap();
        assert!(sent.borrow().is_empty(), "opening sends nothing");
        stream.write_all(b"hello").await.unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"hello");
        let one_frame = FRAME_HEADER + target().encode().len() + 5;
        assert_eq!(sent.borrow()[0], one_frame, "header, request and payload in one message");
    });
}

#[test]
fn a_stream_that_reads_first_is_opened_too() {
    let greet: Serve = Rc::new(|request| {
        Box::pin(async move {
            assert_eq!(request.target(), Some(&target()));
            let mut stream = request.accept(Duration::ZERO).await.unwrap();
            stream.write_all(b"ahoy").await.unwrap();
            stream.close().await.unwrap();
        })
    });
    let mut world = world(Limits::default(), greet);
    let client = world.client.clone();
    world.pool.run_until(async move {
        let mut text = String::new();
        let mut stream = client.open(&target()).await.unwrap();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "ahoy");
    });
}

#[test]
fn a_stopped_reader_holds_one_window_and_the_others_go_on() {
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = kept.clone();
    let serve: Serve = Rc::new(move |request| {
        let keep = keep.clone();
        Box::pin(async move {
            if request.target().unwrap().host() == "stopped" {
                let stream = request.accept(Duration::ZERO).await.unwrap();
                keep.borrow_mut().push(stream);
            } else {
                echo()(request).await;
            }
        })
    });
    let mut world = world(Limits::default(), serve);
    let client = world.client.clone();
    let written = Rc::new(RefCell::new(0));
    let count = written.clone();
    let flood = async move {
        let stopped = Target::new("stopped", 1).unwrap();
        let mut stream = client.open(&stopped).await.unwrap();
        loop {
            *count.borrow_mut() += stream.write(&[7; 4096]).await.unwrap();
        }
    };
    world.pool.spawner().spawn_local(flood).unwrap();
    world.pool.run_until_stalled();
    let window = 256 * 1024 - Target::new("stopped", 1).unwrap().encode().len();
    assert_eq!(*written.borrow(), window, "the writer waits for credit");
    assert_eq!(kept.borrow().len(), 1);

    let client = world.client.clone();
    world.pool.run_until(async move {
        let mut stream = client.open(&target()).await.unwrap();
        for _ in 0..200 {
            stream.write_all(&[1; 4096]).await.unwrap();
            stream.read_exact(&mut [0; 4096]).await.unwrap();
        }
    });
    assert_eq!(*written.borrow(), window);

    let mut reader = kept.borrow_mut().pop().unwrap();
    for _ in 0..50 {
        world.pool.run_until(reader.read_exact(&mut [0; 4000])).unwrap();
    }
    world.pool.run_until_stalled();
    assert!(*written.borrow() > window, "reading gives credit back");
}

fn refuse(code: RefusalCode, reason: &'static str) -> Serve {
    Rc::new(move |request| Box::pin(request.refuse(code, reason)))
}

#[test]
fn a_refusal_is_an_error_with_its_kind_and_reason() {
    let mut world = world(Limits::default(), refuse(RefusalCode::NotAMember, "10.0.0.1:22 is no"));
    let client = world.client.clone();
    world.pool.run_until(async move {
        let mut stream = client.open(&target()).await.unwrap();
        stream.write_all(b"optimistic").await.unwrap();
        for _ in 0..2 {
            let error = stream.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            assert_eq!(error.to_string(), "the bridge refused: 10.0.0.1:22 is no");
            let refusal = error.get_ref().unwrap().downcast_ref::<Refusal>().unwrap();
            assert_eq!(refusal.code, RefusalCode::NotAMember);
        }
        let error = stream.write(b"more").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn the_answer_can_be_waited_for() {
    let serve: Serve = Rc::new(|request| match request.target().unwrap().port() {
        1 => Box::pin(request.refuse(RefusalCode::DialFailed, "refused")),
        _ => echo()(request),
    });
    let mut world = world(Limits::default(), serve);
    let client = world.client.clone();
    world.pool.run_until(async move {
        let mut stream = client.open(&target()).await.unwrap();
        assert_eq!(stream.dialled(), None);
        stream.answered().await.unwrap();
        assert_eq!(stream.dialled(), Some(Duration::ZERO));
        stream.write_all(b"a").await.unwrap();
        stream.answered().await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        let mut stream = client.open(&Target::new("a", 1).unwrap()).await.unwrap();
        for _ in 0..2 {
            let error = stream.answered().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    });
}

#[test]
fn the_last_bytes_before_an_end_are_delivered() {
    let serve: Serve = Rc::new(|request| {
        Box::pin(async move {
            let mut stream = request.accept(Duration::ZERO).await.unwrap();
            stream.write_all(&[9; 100_000]).await.unwrap();
            stream.close().await.unwrap();
        })
    });
    let mut world = world(Limits::default(), serve);
    let client = world.client.clone();
    let mut stream = world.pool.run_until(async { client.open(&target()).await }).unwrap();
    world.pool.run_until(stream.flush()).unwrap();
    world.pool.run_until_stalled();
    let mut bytes = Vec::new();
    world.pool.run_until(stream.read_to_end(&mut bytes)).unwrap();
    assert_eq!(bytes.len(), 100_000);
}

#[test]
fn bytes_written_before_a_drop_arrive_and_the_drop_is_a_reset() {
    let serve: Serve = Rc::new(|request| {
        Box::pin(async move {
            let mut stream = request.accept(Duration::ZERO).await.unwrap();
            stream.write_all(b"last words").await.unwrap();
        })
    });
    let mut world = world(Limits::default(), serve);
    let client = world.client.clone();
    let mut stream = world.pool.run_until(async { client.open(&target()).await }).unwrap();
    world.pool.run_until(async move {
        let mut bytes = Vec::new();
        let error = stream.read_to_end(&mut bytes).await.unwrap_err();
        assert_eq!(bytes, b"last words");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn half_closing_leaves_the_other_half_open() {
    let serve: Serve = Rc::new(|request| {
        Box::pin(async move {
            let mut stream = request.accept(Duration::ZERO).await.unwrap();
            let mut asked = String::new();
            stream.read_to_string(&mut asked).await.unwrap();
            stream.write_all(asked.to_uppercase().as_bytes()).await.unwrap();
            stream.close().await.unwrap();
        })
    });
    let mut world = world(Limits::default(), serve);
    let client = world.client.clone();
    world.pool.run_until(async move {
        let mut stream = client.open(&target()).await.unwrap();
        stream.write_all(b"question").await.unwrap();
        stream.close().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "QUESTION");
    });
}

#[test]
fn a_stream_too_many_is_refused_on_either_side_and_its_place_comes_back() {
    let few = Limits { streams: 2, ..Limits::default() };
    let mut world = world(few, echo());
    let client = world.client.clone();
    world.pool.run_until(async move {
        let first = client.open(&target()).await.unwrap();
        let _second = client.open(&target()).await.unwrap();
        let error = client.open(&target()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        drop(first);
        client.open(&target()).await.unwrap();
    });
}

#[test]
fn the_server_refuses_a_stream_too_many_and_keeps_the_others() {
    let mut pool = LocalPool::new();
    let (client_end, server_end) = messages();
    let (client, driver) = ClientTunnel::new(MessageIo::new(client_end), Limits::default());
    pool.spawner().spawn_local(driver.map(drop)).unwrap();
    let few = Limits { streams: 2, ..Limits::default() };
    let server = serve_all(server_end, few, pool.spawner(), echo());
    pool.spawner().spawn_local(server.map(drop)).unwrap();
    pool.run_until(async move {
        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut stream = client.open(&target()).await.unwrap();
            stream.write_all(b"a").await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
            streams.push(stream);
        }
        let mut third = client.open(&target()).await.unwrap();
        let error = third.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
        assert!(error.to_string().contains("2 streams"), "{error}");
        for mut stream in streams {
            stream.write_all(b"b").await.unwrap();
            stream.read_exact(&mut [0]).await.unwrap();
        }
    });
}

#[test]
fn the_end_of_the_tunnel_fails_its_streams_and_says_so() {
    let mut pool = LocalPool::new();
    let (client_end, server_end) = messages();
    let (client, driver) = ClientTunnel::new(MessageIo::new(client_end), Limits::default());
    pool.spawner().spawn_local(driver.map(drop)).unwrap();
    let mut stream = pool.run_until(client.open(&target())).unwrap();
    pool.run_until(stream.write_all(b"hello")).unwrap();
    drop(server_end);
    let error = pool.run_until(stream.read(&mut [0])).unwrap_err();
    assert!(error.kind() != ErrorKind::UnexpectedEof, "{error:?}");
    assert!(pool.run_until(stream.write(b"more")).is_err());
    assert!(client.is_closed());
    assert!(pool.run_until(client.open(&target())).is_err());
}

#[test]
fn the_tunnel_closes_when_nobody_is_left() {
    let mut world = world(Limits::default(), echo());
    let client = world.client.clone();
    let mut stream = world.pool.run_until(async move { client.open(&target()).await }).unwrap();
    drop(world.client);
    world.pool.run_until(async {
        stream.write_all(b"still here").await.unwrap();
        stream.read_exact(&mut [0; 10]).await.unwrap();
    });
    assert!(world.server_ended.borrow().is_none());
    drop(stream);
    world.pool.run_until_stalled();
    assert!(matches!(*world.server_ended.borrow(), Some(Ok(()))));
}

/// Feeds `garbage` to a server and says how its tunnel ended.
fn fed(garbage: Vec<Vec<u8>>) -> io::Result<()> {
    let mut pool = LocalPool::new();
    let (client_end, server_end) = messages();
    let Messages { mut outgoing, incoming, .. } = client_end;
    let drain = incoming.for_each(|_| std::future::ready(()));
    pool.spawner().spawn_local(drain).unwrap();
    let send = async move {
        for message in garbage {
            if outgoing.send(message).await.is_err() {
                break;
            }
        }
    };
    pool.spawner().spawn_local(send).unwrap();
    let server = serve_all(server_end, Limits::default(), pool.spawner(), echo());
    pool.run_until(server)
}

#[test]
fn garbage_is_an_error_and_no_panic() {
    assert_eq!(fed(vec![vec![0xff; 64]]).unwrap_err().kind(), ErrorKind::InvalidData);
    let too_large = vec![0, 0, 0, 1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(fed(vec![too_large]).unwrap_err().kind(), ErrorKind::InvalidData);
    let truncated = vec![0, 0, 0, 1, 0, 0];
    assert_eq!(fed(vec![truncated]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert!(fed(vec![]).is_ok());
    assert!(fed(vec![vec![], vec![]]).is_ok());

    let mut state = 88_172_645_463_325_252_u64;
    for _ in 0..2000 {
        let message = (0..48)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 40) as u8 & 0x03
            })
            .collect();
        let _ = fed(vec![message]);
    }
}

#[test]
fn a_bad_open_request_is_refused_and_the_tunnel_lives() {
    let mut pool = LocalPool::new();
    let (client_end, server_end) = messages();
    let Messages { mut outgoing, mut incoming, .. } = client_end;
    let server = serve_all(server_end, Limits::default(), pool.spawner(), echo());
    pool.spawner().spawn_local(server.map(drop)).unwrap();
    // A data frame that opens stream 1 with version 9 of the request.
    let frame = [&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 4][..], &[9, 0, 0, 0]].concat();
    let answer = pool.run_until(async {
        outgoing.send(frame).await.unwrap();
        loop {
            let message = incoming.next().await.expect("the tunnel lives");
            if message[1] == 0 && message.len() > 12 {
                return message;
            }
        }
    });
    assert_eq!(answer[12], 2, "the code of a bad request");
    let reason = String::from_utf8(answer[15..].to_vec()).unwrap();
    assert!(reason.contains("version 9"), "{reason}");
}
