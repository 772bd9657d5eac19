//! The command of a `find_one` by `_id`, encoded once, and its exchange as a loop on a runtime:
//! what any driver on that runtime must at least do.

use std::io;
use std::time::{Duration, Instant};

use bson::raw::cstr;
use bson::{Binary, Uuid, rawdoc};
use portolan::engine::wire::{Flags, OpMsgBuilder, WireError};

use super::{Failure, Ids, Meter};
use crate::orders::{Answer, COLLECTION, DATABASE, Order, RECORDS};
use crate::runtime::Runtime;

/// A `find_one` command with a place for the `_id`.
#[derive(Clone, Debug)]
pub struct Command {
    bytes: Vec<u8>,
    id_at: usize,
}

impl Command {
    /// The fields that both drivers send.
    pub fn find_one() -> Result<Self, WireError> {
        const MARK: i32 = 0x7ead_beef;
        let mut session = rawdoc! {};
        session.append(cstr!("id"), Binary::from(Uuid::new()));
        let body = rawdoc! {
            "find": COLLECTION, "filter": { "_id": MARK }, "limit": 1_i64, "singleBatch": true,
            "lsid": session, "$db": DATABASE,
        };
        let mut bytes = Vec::new();
        let mut message = OpMsgBuilder::begin(&mut bytes, 1, 0, Flags::NONE);
        message.body(&body);
        message.finish()?;
        let place = bytes.windows(4).position(|window| window == MARK.to_le_bytes());
        Ok(Self { bytes, id_at: place.expect("the mark is in the command") })
    }

    /// The command for one document.
    pub fn of(&mut self, id: i32) -> &[u8] {
        self.bytes[self.id_at..self.id_at + 4].copy_from_slice(&id.to_le_bytes());
        &self.bytes
    }
}

/// Whether a whole reply is in `bytes`.
pub fn is_whole(bytes: &[u8]) -> bool {
    let length = bytes.first_chunk().map(|length| i32::from_le_bytes(*length));
    length.is_some_and(|length| bytes.len() >= length.unsigned_abs() as usize)
}

/// What a read offers, as the drivers do.
pub const READ_SIZE: usize = 16 * 1024;

pub fn ended() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

macro_rules! exchanges {
    ($name:ident, $stream:ty, $read:path, $write:path) => {
        async fn $name(address: String, task: usize, time: Duration) -> io::Result<u64> {
            use $read as _;
            use $write as _;
            let mut stream = <$stream>::connect(&address).await?;
            stream.set_nodelay(true)?;
            let mut command = Command::find_one().map_err(io::Error::other)?;
            let (mut ids, mut buffer) = (Ids::new(task, RECORDS), vec![0; READ_SIZE]);
            let (began, mut operations) = (Instant::now(), 0);
            while began.elapsed() < time {
                stream.write_all(command.of(ids.next())).await?;
                let mut end = 0;
                while !is_whole(&buffer[..end]) {
                    match stream.read(&mut buffer[end..]).await? {
                        0 => return Err(ended()),
                        count => end += count,
                    }
                }
                operations += 1;
            }
            Ok(operations)
        }
    };
}

exchanges!(on_tokio, tokio::net::TcpStream, tokio::io::AsyncReadExt, tokio::io::AsyncWriteExt);
exchanges!(
    on_async_std,
    async_std::net::TcpStream,
    futures_util::io::AsyncReadExt,
    futures_util::io::AsyncWriteExt
);

/// The canned loop on one runtime.
pub struct Canned {
    runtime: Runtime,
    address: String,
}

impl Canned {
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime, address: String::new() }
    }

    pub fn obey(&mut self, order: Order) -> Result<Answer, Failure> {
        match order {
            Order::Connect { uri } => {
                self.address = super::floor::address(&uri)?;
                Ok(Answer::default())
            }
            Order::FindOne { tasks, millis } => self.find_one(tasks, millis),
            order => Err(format!("a canned loop cannot {order:?}").into()),
        }
    }

    fn find_one(&self, tasks: usize, millis: u64) -> Result<Answer, Failure> {
        let time = Duration::from_millis(millis);
        self.runtime.block_on(async {
            let meter = Meter::start();
            let spawn = |task| match &self.runtime {
                Runtime::Tokio(_) => self.runtime.spawn(on_tokio(self.address.clone(), task, time)),
                _ => self.runtime.spawn(on_async_std(self.address.clone(), task, time)),
            };
            let running: Vec<_> = (0..tasks).map(spawn).collect();
            let mut operations = 0;
            for task in running {
                operations += task.await?;
            }
            Ok(meter.stop(operations))
        })
    }
}
