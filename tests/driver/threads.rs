//! Many threads at once: no wake-up is lost, whoever waits ends.
//!
//! Real threads over the network in memory, whose clock one thread turns as fast as it can. What
//! happens in which order differs from run to run; that everything ends does not.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use portolan::bson::doc;
use portolan::options::ClientOptions;
use portolan::{Client, PoolStatus, ReadPreference};

use super::support::{Bed, till};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls `future` on this thread; after `polls` polls it is dropped.
fn poll_up_to<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    for _ in 0..polls {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        thread::park();
    }
    None
}

fn block_on<F: Future>(future: F) -> F::Output {
    poll_up_to(future, usize::MAX).expect("polled until it ends")
}

/// Some operations, every third of them dropped early.
fn work(client: &Client, thread: usize, round: usize) {
    for n in 0..6 {
        let polls = if n % 3 == 2 { (thread + round) % 7 } else { usize::MAX };
        let till = till(client);
        // Errors are fine: the client is shut down meanwhile.
        match (thread + n) % 3 {
            0 => drop(poll_up_to(till.insert_one(doc! { "n": 1 }).into_future(), polls)),
            1 => drop(poll_up_to(till.find(doc! {}).batch_size(1_u32).into_future(), polls)),
            _ => drop(poll_up_to(client.ping(ReadPreference::primary()), polls)),
        }
    }
}

/// One client's life; `early` of the workers' rounds happen before it is shut down.
fn live(round: usize) {
    let bed = Bed::set(0);
    let options = ClientOptions::parse(&bed.uri("maxPoolSize=2&maxConnecting=1")).expect("options");
    let net = bed.net.clone();
    let (client, driver) = Client::new(options, Arc::new(net.clone())).expect("a client");
    let done = AtomicBool::new(false);
    let working = AtomicUsize::new(3);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                if !net.step() {
                    thread::yield_now();
                }
            }
        });
        for thread in 0..3 {
            let (client, working) = (client.clone(), &working);
            scope.spawn(move || {
                work(&client, thread, round);
                working.fetch_sub(1, Ordering::SeqCst);
            });
        }
        let ends = scope.spawn(|| block_on(driver));
        if round.is_multiple_of(2) {
            // In the middle of it all.
            for _ in 0..round * 20 {
                thread::yield_now();
            }
        } else {
            while working.load(Ordering::SeqCst) > 0 {
                thread::yield_now();
            }
            // The cursors that were dropped are still being killed; then nothing is in use.
            let busy = |pool: &PoolStatus| pool.operations > 0 || pool.connections > pool.idle;
            while client.pools().iter().any(busy) {
                thread::yield_now();
            }
        }
        block_on(client.shutdown());
        ends.join().expect("the driver does not panic");
        // Who is under way has its answer still to come.
        while working.load(Ordering::SeqCst) > 0 {
            thread::yield_now();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert_eq!(bed.open_connections("a:1"), 0);
}

#[test]
fn everybody_ends() {
    let (says, hears) = mpsc::channel();
    thread::spawn(move || {
        for round in 0..60 {
            live(round);
            says.send(round).expect("the test waits");
        }
    });
    for round in 0..60 {
        // A round takes a few milliseconds; one that hangs is a lost wake-up.
        let ended = hears.recv_timeout(Duration::from_secs(30));
        assert_eq!(ended, Ok(round), "round {round} hangs or failed");
    }
}
