//! A single server that belongs to no set.

use std::net::SocketAddr;
use std::time::Duration;

use crate::replica_set::Folder;
use crate::watchdog::Watchdog;
use crate::{Connection, Member, MemberOptions, MongodBinary, Result};

/// A running standalone. Dropping it stops the process and removes the data.
#[derive(Debug)]
pub struct Standalone {
    // In the order of dropping: the process, then its folder, then who watches over both.
    member: Member,
    _folder: Folder,
    _watchdog: Watchdog,
}

impl Standalone {
    /// Starts a server on a free port and returns when it listens.
    ///
    /// # Errors
    ///
    /// Any [`crate::Error`]; what was started is stopped again.
    pub fn start(binary: &MongodBinary) -> Result<Self> {
        Self::start_with(binary, MemberOptions::default())
    }

    /// The same, with arguments of one's own.
    ///
    /// # Errors
    ///
    /// As [`Standalone::start`].
    pub fn start_with(binary: &MongodBinary, options: MemberOptions) -> Result<Self> {
        let folder = Folder::create()?;
        let watchdog = Watchdog::start(folder.path())?;
        let member = Member::start(binary, "", folder.path(), 0, None, options)?;
        Ok(Self { member, _folder: folder, _watchdog: watchdog })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.member.address()
    }

    /// A direct connection to it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Io`].
    pub fn connect(&self, timeout: Duration) -> Result<Connection> {
        self.member.connect(timeout)
    }
}
