//! The ports that members listen on.

use std::env;
use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use crate::{Error, Result};

/// A port that is kept for one member, whether or not it runs: between a kill and a restart no
/// other test of this machine takes it.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    /// Locked; the system unlocks it when the process ends, however it does.
    _kept: Option<File>,
}

impl Port {
    /// A port that somebody chose, and answers for.
    pub(crate) fn given(number: u16) -> Result<Self> {
        Ok(Self { number, _kept: None })
    }

    /// A port that nobody listens on and nobody keeps, below those that the system gives to
    /// outgoing connections: one of these could take the port of a member while it is killed.
    pub(crate) fn free() -> Result<Self> {
        let folder = env::temp_dir().join("portolan-ports");
        fs::create_dir_all(&folder).map_err(Error::io("creating the folder of ports"))?;
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let chance = RandomState::new().hash_one(());
            let number = PORTS.start + u16::try_from(chance % PORTS_LENGTH).unwrap_or(0);
            let file = File::create(folder.join(number.to_string()))
                .map_err(Error::io("creating the file of a port"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    last = format!("{number} is kept");
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(Error::io("keeping a port")(error)),
            }
            match TcpListener::bind((Ipv4Addr::LOCALHOST, number)) {
                Ok(_) => return Ok(Self { number, _kept: Some(file) }),
                Err(error) => last = error.to_string(),
            }
        }
        Err(Error::Start(format!("no free port among {PORTS:?}: {last}")))
    }
}

const PORTS: Range<u16> = 20_000..32_000;
const PORTS_LENGTH: u64 = 12_000;
const ATTEMPTS: usize = 100;
