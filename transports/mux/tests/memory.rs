//! What an idle stream holds at both ends together, in bytes of the allocator.
//!
//! A target of its own: the counting allocator is the whole program's.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

#[expect(dead_code, reason = "of what these files share, each uses a part")]
mod common;

use std::rc::Rc;
use std::time::Duration;

use common::{Serve, World, target, world};
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _};
use portolan_mux::{Limits, TunnelStream};

const STREAMS: usize = 200;
/// What one may hold at both ends, with the task that serves it here.
const MOST_BYTES: i64 = 8 * 1024;

/// Echoes with a small buffer, so that what is held is the stream's own.
fn echo() -> Serve {
    Rc::new(|request| {
        Box::pin(async move {
            let (mut stream, mut buffer) =
                (request.accept(Duration::ZERO).await.unwrap(), [0; 256]);
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                stream.write_all(&buffer[..count]).await.unwrap();
            }
        })
    })
}

/// Opens streams that have carried bytes both ways, and rest.
fn idle(world: &mut World) -> Vec<TunnelStream> {
    let client = world.client.clone();
    let streams = world.pool.run_until(async move {
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let mut stream = client.open(&target()).await.unwrap();
            stream.write_all(&[1; 1000]).await.unwrap();
            stream.read_exact(&mut [0; 1000]).await.unwrap();
            streams.push(stream);
        }
        streams
    });
    world.pool.run_until_stalled();
    streams
}

#[test]
fn an_idle_stream_holds_a_few_kibibytes() {
    let mut world = world(Limits::default(), echo());
    // Tables and queues that all share have grown already.
    drop(idle(&mut world));
    world.pool.run_until_stalled();
    let mut streams = Vec::new();
    let held = allocation_counter::measure(|| streams = idle(&mut world)).bytes_current;
    let each = held / i64::try_from(streams.len()).unwrap();
    assert!(each > 0 && each <= MOST_BYTES, "{each} bytes each");
    let freed = allocation_counter::measure(|| {
        drop(streams);
        world.pool.run_until_stalled();
    });
    assert!(-freed.bytes_current >= held / 2, "streams that end give it back");
}
