//! The floor: blocking sockets that send a canned command and read the reply, a thread a task.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use super::canned::{Command, READ_SIZE, ended, is_whole};
use super::{Failure, Ids, Meter};
use crate::orders::{Answer, Order, RECORDS};

/// The one host of a connection string.
pub fn address(uri: &str) -> Result<String, Failure> {
    let rest = uri.strip_prefix("mongodb://").ok_or("no connection string")?;
    Ok(rest.split(['/', ',', '?']).next().unwrap_or_default().to_owned())
}

/// The floor.
#[derive(Debug, Default)]
pub struct Floor {
    address: String,
}

impl Floor {
    pub fn obey(&mut self, order: Order) -> Result<Answer, Failure> {
        match order {
            Order::Connect { uri } => {
                self.address = address(&uri)?;
                Ok(Answer::default())
            }
            Order::FindOne { tasks, millis } => self.find_one(tasks, millis),
            order => Err(format!("the floor cannot {order:?}").into()),
        }
    }

    fn find_one(&self, tasks: usize, millis: u64) -> Result<Answer, Failure> {
        let (time, address) = (Duration::from_millis(millis), self.address.as_str());
        let meter = Meter::start();
        let operations = thread::scope(|scope| {
            let run = |task| scope.spawn(move || exchanges(address, task, time));
            let running: Vec<_> = (0..tasks).map(run).collect();
            running.into_iter().map(|task| task.join().expect("no panic")).sum::<io::Result<u64>>()
        })?;
        Ok(meter.stop(operations))
    }
}

fn exchanges(address: &str, task: usize, time: Duration) -> io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut command = Command::find_one().map_err(io::Error::other)?;
    let (mut ids, mut buffer) = (Ids::new(task, RECORDS), vec![0; READ_SIZE]);
    let (began, mut operations) = (Instant::now(), 0);
    while began.elapsed() < time {
        stream.write_all(command.of(ids.next()))?;
        let mut end = 0;
        while !is_whole(&buffer[..end]) {
            match stream.read(&mut buffer[end..])? {
                0 => return Err(ended()),
                count => end += count,
            }
        }
        operations += 1;
    }
    Ok(operations)
}
