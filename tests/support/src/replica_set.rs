//! A replica set of real servers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};

use crate::member::whole_seconds;
use crate::watchdog::Watchdog;
use crate::{Error, Member, MemberOptions, MemberState, MongodBinary, Result};

/// How a set is made.
#[derive(Clone, Debug)]
pub struct ReplicaSetOptions {
    /// Which server.
    pub binary: MongodBinary,
    /// The set's name.
    pub name: String,
    /// One entry a member.
    pub members: Vec<MemberOptions>,
    /// How long a secondary goes without a primary before it stands for election.
    pub election_timeout: Duration,
    /// How often members ask each other.
    pub heartbeat: Duration,
    /// The first member's port, the others following; `None` takes free ports.
    pub port_base: Option<u16>,
}

impl ReplicaSetOptions {
    /// A set `rs0` of `members` ordinary members with quick elections, on free ports.
    pub fn new(binary: MongodBinary, members: usize) -> Self {
        Self {
            binary,
            name: "rs0".into(),
            members: vec![MemberOptions::default(); members],
            election_timeout: Duration::from_millis(1000),
            heartbeat: Duration::from_millis(200),
            port_base: None,
        }
    }
}

/// A running set. Dropping it stops every process and removes the data.
#[derive(Debug)]
pub struct ReplicaSet {
    // In the order of dropping: processes, then their folder, then who watches over both.
    members: Vec<Member>,
    options: ReplicaSetOptions,
    folder: Folder,
    _watchdog: Watchdog,
}

impl ReplicaSet {
    /// Starts the processes, initiates the set and waits until it has a primary and every other
    /// member is a secondary or an arbiter.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; what was started is stopped again.
    pub fn start(options: ReplicaSetOptions) -> Result<Self> {
        let set = Self::start_uninitiated(options)?;
        set.initiate()?;
        Ok(set)
    }

    /// Starts the processes alone: members of a set that nobody has initiated.
    ///
    /// # Errors
    ///
    /// Any [`Error`]; what was started is stopped again.
    pub fn start_uninitiated(options: ReplicaSetOptions) -> Result<Self> {
        let folder = Folder::create()?;
        let watchdog = Watchdog::start(&folder.0)?;
        let members = start_members(&options, &folder.0)?;
        Ok(Self { members, options, folder, _watchdog: watchdog })
    }

    /// Initiates a set that was started without it, and waits as [`ReplicaSet::start`] does.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn initiate(&self) -> Result<()> {
        let members: Vec<Document> = self.members.iter().map(Member::configuration).collect();
        let settings = doc! {
            "electionTimeoutMillis": millis(self.options.election_timeout),
            "heartbeatIntervalMillis": millis(self.options.heartbeat),
        };
        let config = doc! { "_id": &self.options.name, "members": members, "settings": settings };
        let electable = self
            .members
            .iter()
            .position(|member| !member.options().arbiter && member.options().priority > 0.0)
            .ok_or_else(|| Error::Start("no member of the set can become primary".into()))?;
        self.command(electable, &doc! { "replSetInitiate": config })?;
        self.wait_for_primary(SETTLE_TIMEOUT)?;
        self.wait_until("every member is settled", SETTLE_TIMEOUT, |set| {
            set.members.iter().all(Member::is_settled)
        })?;
        self.replicate()
    }

    /// Waits until every member has applied all that was written before, but for arbiters and those
    /// with a delay.
    ///
    /// A fault that comes earlier may leave a set without a member that can be elected: the one
    /// with the votes lags behind the one without priority.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`].
    pub fn replicate(&self) -> Result<()> {
        let ordinary = |member: &&Member| {
            let options = member.options();
            !options.arbiter && options.delay.is_zero()
        };
        let count = self.members.iter().filter(ordinary).count();
        let everywhere = doc! {
            "w": i64::try_from(count).unwrap_or(i64::MAX),
            "wtimeout": millis(NOTE_TIMEOUT),
        };
        let note = doc! {
            "appendOplogNote": 1,
            "data": { "msg": "replicated so far" },
            "writeConcern": everywhere,
        };
        // An election may come between.
        self.wait_until("all to have what was written", SETTLE_TIMEOUT, |set| {
            set.primary()
                .and_then(|primary| set.command(primary, &note))
                .is_ok_and(|reply| !reply.contains_key("writeConcernError"))
        })
    }

    /// Makes another set of the same servers: each is killed, loses its data, and starts on its
    /// port under the other name; then the set is initiated.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn reinitiate(&mut self, name: &str) -> Result<()> {
        name.clone_into(&mut self.options.name);
        // All are gone before the first is back, so that none finds a member of the old set.
        self.members.iter_mut().try_for_each(Member::kill)?;
        self.members.iter_mut().try_for_each(|member| member.restart_empty(name))?;
        self.initiate()
    }

    /// A connection string with every member that is named in replies to hello.
    pub fn uri(&self) -> String {
        format!("mongodb://{}/?replicaSet={}", self.seeds().join(","), self.options.name)
    }

    /// The addresses of the members that are not hidden.
    pub fn seeds(&self) -> Vec<String> {
        self.members
            .iter()
            .filter(|member| !member.options().hidden)
            .map(|member| member.address().to_string())
            .collect()
    }

    /// The set's name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// The version of its servers.
    pub fn version(&self) -> &str {
        self.options.binary.version()
    }

    /// Every member.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// One member.
    ///
    /// # Panics
    ///
    /// When there is no member `index`.
    pub fn member(&self, index: usize) -> &Member {
        &self.members[index]
    }

    /// One member, to be killed, frozen or restarted.
    ///
    /// # Panics
    ///
    /// When there is no member `index`.
    pub fn member_mut(&mut self, index: usize) -> &mut Member {
        &mut self.members[index]
    }

    /// The member that listens at `address`.
    pub fn index_of(&self, address: &str) -> Option<usize> {
        self.members.iter().position(|member| member.address().to_string() == address)
    }

    /// The member that accepts writes now.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] when none does.
    pub fn primary(&self) -> Result<usize> {
        self.members
            .iter()
            .position(Member::is_writable_primary)
            .ok_or_else(|| Error::Timeout("no member is primary".into()))
    }

    /// Waits until a member accepts writes.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`].
    pub fn wait_for_primary(&self, timeout: Duration) -> Result<usize> {
        let mut primary = None;
        self.wait_until("a primary", timeout, |set| {
            primary = set.primary().ok();
            primary.is_some()
        })?;
        primary.ok_or_else(|| Error::Timeout("no member is primary".into()))
    }

    /// Runs `command` on member `index` over a direct connection.
    ///
    /// # Errors
    ///
    /// As [`crate::Connection::run`].
    pub fn command(&self, index: usize, command: &Document) -> Result<Document> {
        self.members[index].command(command)
    }

    /// Changes the configuration of the set, on its primary.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] when there is no primary, or none accepts the change.
    pub fn reconfig(&self, change: impl Fn(&mut Document)) -> Result<()> {
        let deadline = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let error = match self.try_reconfig(&change) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // The server refuses while the change before is not committed or a primary is new.
            if Instant::now() >= deadline {
                return Err(error);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts one more process and adds it to the set; answers its index.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn add_member(&mut self, options: MemberOptions) -> Result<usize> {
        let index = self.members.len();
        let member = Member::start(
            &self.options.binary,
            &self.options.name,
            &self.folder.0,
            index,
            self.options.port_base.map(|base| base + port_offset(index)),
            options,
        )?;
        let entry = member.configuration();
        self.members.push(member);
        self.reconfig(|config| {
            if let Ok(members) = config.get_array_mut("members") {
                members.push(entry.clone().into());
            }
        })?;
        Ok(index)
    }

    /// Takes member `index` out of the configuration; its process goes on.
    ///
    /// # Errors
    ///
    /// Any [`Error`].
    pub fn remove_member(&mut self, index: usize) -> Result<()> {
        let id = Bson::Int32(self.members[index].config_id());
        self.reconfig(|config| {
            if let Ok(members) = config.get_array_mut("members") {
                members.retain(|m| m.as_document().and_then(|m| m.get("_id")) != Some(&id));
            }
        })
    }

    /// Changes the entry of member `index` in the configuration of the set.
    ///
    /// # Errors
    ///
    /// As [`ReplicaSet::reconfig`].
    pub fn reconfigure(&self, index: usize, change: impl Fn(&mut Document)) -> Result<()> {
        let id = Bson::Int32(self.members[index].config_id());
        self.reconfig(|config| {
            let members = config.get_array_mut("members").into_iter().flatten();
            members
                .filter_map(Bson::as_document_mut)
                .filter(|entry| entry.get("_id") == Some(&id))
                .for_each(&change);
        })
    }

    /// Stops or resumes the replication of member `index`, which otherwise goes on as it is.
    ///
    /// # Errors
    ///
    /// As [`ReplicaSet::command`].
    pub fn set_replication(&self, index: usize, on: bool) -> Result<()> {
        let mode = if on { "off" } else { "alwaysOn" };
        let fail_point = doc! { "configureFailPoint": "stopReplProducer", "mode": mode };
        self.command(index, &fail_point).map(|_| ())
    }

    /// Sets how long after the primary member `index` applies a write.
    ///
    /// # Errors
    ///
    /// As [`ReplicaSet::reconfig`].
    pub fn set_delay(&mut self, index: usize, delay: Duration) -> Result<()> {
        let field = self.members[index].delay_field();
        self.reconfigure(index, |entry| {
            entry.insert(field, whole_seconds(delay));
        })?;
        self.members[index].set_delay(delay);
        Ok(())
    }

    /// Polls until `done`, the only way here to wait for anything.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] that names `what`.
    pub fn wait_until(
        &self,
        what: &str,
        timeout: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !done(self) {
            if Instant::now() >= deadline {
                return Err(Error::Timeout(format!("waiting for {what}, {timeout:?}")));
            }
            thread::sleep(POLL_INTERVAL);
        }
        Ok(())
    }

    fn try_reconfig(&self, change: &impl Fn(&mut Document)) -> Result<()> {
        let primary = self.primary()?;
        let mut reply = self.command(primary, &doc! { "replSetGetConfig": 1 })?;
        let Some(Bson::Document(mut config)) = reply.remove("config") else {
            return Err(Error::Protocol("replSetGetConfig answers no configuration".into()));
        };
        let version = config.get_i32("version").unwrap_or(0);
        config.insert("version", version + 1);
        change(&mut config);
        self.command(primary, &doc! { "replSetReconfig": config }).map(|_| ())
    }

    /// Whether any process of the set is in `state`.
    pub fn any_in(&self, state: MemberState) -> bool {
        self.members.iter().any(|member| member.state() == state)
    }
}

/// Starts all processes at once; each takes half a second until it listens.
fn start_members(options: &ReplicaSetOptions, folder: &Path) -> Result<Vec<Member>> {
    thread::scope(|scope| {
        let starting: Vec<_> = options
            .members
            .iter()
            .enumerate()
            .map(|(id, member)| {
                let port = options.port_base.map(|base| base + port_offset(id));
                scope.spawn(move || {
                    let (binary, name) = (&options.binary, &options.name);
                    Member::start(binary, name, folder, id, port, member.clone())
                })
            })
            .collect();
        starting
            .into_iter()
            .map(|start| start.join().map_err(|_| Error::Start("a start panicked".into()))?)
            .collect()
    })
}

fn port_offset(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A folder for the data of one set, removed with it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Below `$PORTOLAN_DATA` (a memory file system makes writes quicker), else the temporary
    /// folder.
    pub(crate) fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let base = std::env::var_os("PORTOLAN_DATA").map_or_else(std::env::temp_dir, PathBuf::from);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("portolan-set-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(Error::io("creating the folder of the set"))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(25);
const NOTE_TIMEOUT: Duration = Duration::from_secs(10);
