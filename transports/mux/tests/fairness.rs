//! What streams of one tunnel take from each other: nothing that lasts, however one of them
//! behaves. Progress and bytes are counted, not timed.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[expect(dead_code, reason = "of what these files share, each uses a part")]
mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use common::{Serve, World, target, world};
use futures_util::future::join_all;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use portolan_mux::{Limits, TunnelStream};

const READERS: usize = 20;
/// Bytes that each of them reads.
const BYTES: usize = 1024 * 1024;
/// The credit of a stream whose window does not grow.
const WINDOW: usize = 256 * 1024;
/// Nothing beyond the credit of each: what is held does not depend on how fast this machine is.
const LIMITS: Limits = Limits { streams: 64, extra_window_bytes: 0 };

/// Sends until the stream ends, and counts what it could write.
fn source(written: Rc<RefCell<usize>>) -> Serve {
    Rc::new(move |request| {
        let written = written.clone();
        Box::pin(async move {
            let mut stream = request.accept(Duration::ZERO).await.unwrap();
            while let Ok(count) = stream.write(&[5; 4096]).await {
                *written.borrow_mut() += count;
            }
        })
    })
}

/// Opens the readers and reads; how far each had come whenever one of them was done.
fn read_all(world: &mut World) -> Vec<Vec<usize>> {
    let (client, had) = (world.client.clone(), Rc::new(RefCell::new(vec![0; READERS])));
    let standings = Rc::new(RefCell::new(Vec::new()));
    let readers = (0..READERS).map(|number| {
        let (client, had, standings) = (client.clone(), had.clone(), standings.clone());
        async move {
            let mut stream = client.open(&target()).await.unwrap();
            let mut buffer = vec![0; 4096];
            while had.borrow()[number] < BYTES {
                let count = stream.read(&mut buffer).await.unwrap();
                assert!(count > 0);
                had.borrow_mut()[number] += count;
            }
            standings.borrow_mut().push(had.borrow().clone());
        }
    });
    world.pool.run_until(join_all(readers));
    standings.take()
}

/// Opens a stream, reads one byte and then nothing more, until everything rests.
fn stop(world: &mut World) -> TunnelStream {
    let client = world.client.clone();
    let stream = world.pool.run_until(async move {
        let mut stream = client.open(&target()).await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap();
        stream
    });
    world.pool.run_until_stalled();
    stream
}

#[test]
fn readers_come_as_far_beside_a_stopped_one_as_without_it() {
    let written = Rc::<RefCell<usize>>::default();
    let mut alone = world(LIMITS, source(written.clone()));
    let without = read_all(&mut alone);

    let mut beside = world(LIMITS, source(written));
    let _stopped = stop(&mut beside);
    let with = read_all(&mut beside);

    // When a reader is done, the others have come as far, whether another is stopped or not.
    for (with, without) in with.iter().zip(&without) {
        let (with, without) = (with.iter().sum::<usize>(), without.iter().sum::<usize>());
        assert!(10 * with >= 9 * without, "{with} bytes beside it, {without} alone");
    }
}

#[test]
fn no_reader_is_more_than_a_window_behind_another() {
    let mut world = world(LIMITS, source(Rc::default()));
    let _stopped = stop(&mut world);
    let first_done = &read_all(&mut world)[0];
    for had in first_done {
        assert!(had + WINDOW >= BYTES, "{had} bytes when the first had {BYTES}");
    }
}

/// Bytes of the answer to an open request.
const STATUS: usize = 5;

#[test]
fn what_nobody_reads_is_held_up_to_the_credit_and_no_further() {
    let written = Rc::<RefCell<usize>>::default();
    let mut world = world(LIMITS, source(written.clone()));
    let mut stopped = stop(&mut world);
    // The status of the open request is within the credit.
    assert_eq!(*written.borrow(), WINDOW - STATUS, "the writer waits for credit");
    // Credit comes back when half of it has been read, with the read after.
    world.pool.run_until(stopped.read_exact(&mut vec![0; WINDOW / 2])).unwrap();
    world.pool.run_until(stopped.read_exact(&mut [0])).unwrap();
    world.pool.run_until_stalled();
    let read = 1 + WINDOW / 2 + 1;
    let held = *written.borrow() - read;
    assert!((WINDOW / 2..=WINDOW).contains(&held), "{held} bytes are held");
    assert!(*written.borrow() > WINDOW, "reading gives credit back");
}
