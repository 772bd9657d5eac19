//! A peer as a process: orders come in on standard input, answers go out on standard output.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::canned::Canned;
#[cfg(feature = "official")]
use super::driver::with_official;
use super::driver::with_portolan;
use super::floor::Floor;
use super::{Failure, Peer};
use crate::counting;
use crate::orders::{Answer, Order};
use crate::runtime::Runtime;

/// The word on the command line that makes a worker of the program.
pub const WORKER: &str = "worker";
/// Behind the peer's name: count allocations.
pub const COUNTING: &str = "counting";

/// The worker's whole life.
pub fn main(peer: Peer, counted: bool) -> Result<(), Failure> {
    if counted {
        counting::begin();
    }
    match peer {
        Peer::Floor => {
            let mut floor = Floor::default();
            serve(|order| floor.obey(order))
        }
        Peer::CannedTokio | Peer::CannedAsyncStd => {
            let mut canned = Canned::new(runtime(peer)?);
            serve(|order| canned.obey(order))
        }
        Peer::Tokio | Peer::AsyncStd | Peer::Smol => {
            let mut session = with_portolan::Session::new(runtime(peer)?);
            serve(|order| session.obey(order))
        }
        #[cfg(feature = "official")]
        Peer::Official => {
            let mut session = with_official::Session::new(runtime(peer)?);
            serve(|order| session.obey(order))
        }
        #[cfg(not(feature = "official"))]
        Peer::Official => Err(
            "this program was built without the official driver: name one that was built with it \
             in PORTOLAN_BENCH_OFFICIAL"
                .into(),
        ),
        Peer::Pymongo => Err("pymongo is a program of its own".into()),
    }
}

fn runtime(peer: Peer) -> io::Result<Runtime> {
    match peer {
        Peer::AsyncStd | Peer::CannedAsyncStd => Ok(Runtime::AsyncStd),
        Peer::Smol => Ok(Runtime::Smol),
        _ => Runtime::tokio(),
    }
}

fn serve(mut obey: impl FnMut(Order) -> Result<Answer, Failure>) -> Result<(), Failure> {
    for line in io::stdin().lines() {
        let answer = obey(serde_json::from_str(&line?)?).unwrap_or_else(|error| Answer {
            failure: Some(error.to_string()),
            ..Answer::default()
        });
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&answer)?)?;
        out.flush()?;
    }
    Ok(())
}

/// A peer's process, from outside; stopped when dropped.
#[derive(Debug)]
pub struct Worker {
    pub peer: Peer,
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts a peer that reaches `uri`.
    pub fn start(peer: Peer, uri: &str) -> Result<Self, Failure> {
        Self::start_as(peer, uri, false)
    }

    /// The same; `counted` workers count their allocations.
    pub fn start_as(peer: Peer, uri: &str, counted: bool) -> Result<Self, Failure> {
        let mut command = match peer {
            Peer::Pymongo => {
                let mut python = Command::new("python3");
                let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/peer/pymongo_peer.py");
                python.arg(source);
                python
            }
            _ => {
                let lent = std::env::var_os("PORTOLAN_BENCH_OFFICIAL");
                let lent = lent.filter(|_| peer == Peer::Official);
                let own = std::env::current_exe()?;
                let mut program = Command::new(lent.map_or(own, PathBuf::from));
                program.args([WORKER, peer.name()]).args(counted.then_some(COUNTING));
                program
            }
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let answers = BufReader::new(answers.ok_or("no pipe")?);
        let mut worker = Self { peer, child, orders, answers };
        worker.run(&Order::Connect { uri: uri.to_owned() })?;
        Ok(worker)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives an order and waits for the answer.
    pub fn run(&mut self, order: &Order) -> Result<Answer, Failure> {
        self.order(order)?;
        self.answer()
    }

    /// Gives an order; [`Worker::answer`] waits for what comes of it.
    pub fn order(&mut self, order: &Order) -> Result<(), Failure> {
        let orders = self.orders.as_mut().ok_or("the worker is being stopped")?;
        writeln!(orders, "{}", serde_json::to_string(order)?)?;
        Ok(orders.flush()?)
    }

    pub fn answer(&mut self) -> Result<Answer, Failure> {
        let mut line = String::new();
        if self.answers.read_line(&mut line)? == 0 {
            return Err(format!("{} ended without an answer", self.peer.name()).into());
        }
        let answer: Answer = serde_json::from_str(&line)?;
        match answer.failure {
            Some(failure) => Err(format!("{}: {failure}", self.peer.name()).into()),
            None => Ok(answer),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input is the end of a worker, unless it is busy.
        drop(self.orders.take());
        for _ in 0..50 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
