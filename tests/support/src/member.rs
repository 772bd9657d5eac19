//! One mongod process of a set.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};

use crate::port::Port;
use crate::{Connection, Error, MongodBinary, Result, access};

/// What a member is like in its set's configuration, and how it is started.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberOptions {
    /// Election priority; 0 never becomes primary.
    pub priority: f64,
    /// Not named in replies to hello; wants `priority: 0`.
    pub hidden: bool,
    /// Replica set tags.
    pub tags: Vec<(String, String)>,
    /// Votes only, holds no data.
    pub arbiter: bool,
    /// How long after the primary it applies a write, in whole seconds; more than zero wants
    /// `priority: 0`.
    pub delay: Duration,
    /// Lets nobody in without a password; a set's members are all alike in this.
    pub access_control: bool,
    /// Further arguments of mongod.
    pub extra_args: Vec<String>,
}

impl Default for MemberOptions {
    fn default() -> Self {
        Self {
            priority: 1.0,
            hidden: false,
            tags: Vec::new(),
            arbiter: false,
            delay: Duration::ZERO,
            access_control: false,
            extra_args: Vec::new(),
        }
    }
}

impl MemberOptions {
    /// An ordinary member with one tag.
    pub fn tagged(name: &str, value: &str) -> Self {
        Self { tags: vec![(name.into(), value.into())], ..Self::default() }
    }
}

/// What the process of a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It runs.
    Running,
    /// It was stopped with SIGSTOP: connections stay open and nothing answers.
    Frozen,
    /// There is no process.
    Stopped,
}

impl MemberState {
    /// The state in one lower-case word, as the demo's HTTP interface has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Stopped => "stopped",
        }
    }
}

/// One member: its address, its process and its files.
#[derive(Debug)]
pub struct Member {
    binary: MongodBinary,
    set_name: String,
    options: MemberOptions,
    folder: PathBuf,
    id: usize,
    address: SocketAddr,
    /// Its own for as long as it exists, killed or not.
    port: Port,
    process: Option<Child>,
    state: MemberState,
    /// Bytes of the log before the latest process.
    log_before: usize,
}

impl Member {
    /// Starts a process on `port`, or on any free port, and returns when it listens; without the
    /// name of a set it is a standalone.
    pub(crate) fn start(
        binary: &MongodBinary,
        set_name: &str,
        folder: &Path,
        id: usize,
        port: Option<u16>,
        options: MemberOptions,
    ) -> Result<Self> {
        let mut member = Self {
            binary: binary.clone(),
            set_name: set_name.to_owned(),
            options,
            folder: folder.to_owned(),
            id,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            port: Port::given(0)?,
            process: None,
            state: MemberState::Stopped,
            log_before: 0,
        };
        fs::create_dir_all(member.data_path()).map_err(Error::io("creating the data folder"))?;
        // A free port may be taken by a stranger before mongod binds it.
        for _ in 0..PORT_ATTEMPTS {
            member.port = port.map_or_else(Port::free, Port::given)?;
            member.address.set_port(member.port.number);
            match member.spawn().and_then(|()| member.wait_until_listening()) {
                Ok(()) => return Ok(member),
                Err(Error::Start(_)) if port.is_none() && member.log().contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Start(format!("no free port in {PORT_ATTEMPTS} attempts")))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id; `None` when stopped.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// What its process is doing, as far as this set was told to do it.
    pub fn state(&self) -> MemberState {
        self.state
    }

    /// How it was started.
    pub fn options(&self) -> &MemberOptions {
        &self.options
    }

    /// Its entry in the configuration of the set.
    pub(crate) fn configuration(&self) -> Document {
        let options = &self.options;
        let mut entry = doc! { "_id": self.config_id(), "host": self.address.to_string() };
        if options.arbiter {
            entry.insert("arbiterOnly", true);
            return entry;
        }
        entry.insert("priority", options.priority);
        if options.hidden {
            entry.insert("hidden", true);
        }
        if !options.delay.is_zero() {
            entry.insert(self.delay_field(), whole_seconds(options.delay));
        }
        let tags: Document =
            options.tags.iter().map(|(k, v)| (k.clone(), v.as_str().into())).collect();
        if !tags.is_empty() {
            entry.insert("tags", tags);
        }
        entry
    }

    /// The `_id` of its entry.
    pub(crate) fn config_id(&self) -> i32 {
        i32::try_from(self.id).unwrap_or(i32::MAX)
    }

    /// The configuration of its set was changed.
    pub(crate) fn set_delay(&mut self, delay: Duration) {
        self.options.delay = delay;
    }

    /// The name of the delay in its entry, which 5.0 changed.
    pub(crate) fn delay_field(&self) -> &'static str {
        if self.binary.version().starts_with("4.") { "slaveDelay" } else { "secondaryDelaySecs" }
    }

    /// Its log; a restarted process appends to it.
    pub fn log_path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.id))
    }

    /// SIGKILL: the process is gone when this returns, its data stay.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().map_err(Error::io("killing a member"))?;
            process.wait().map_err(Error::io("waiting for a killed member"))?;
        }
        let _ = fs::remove_file(self.pid_path());
        self.state = MemberState::Stopped;
        Ok(())
    }

    /// SIGSTOP: the process keeps its connections and, when this returns, answers nothing.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal("STOP")?;
        self.state = MemberState::Frozen;
        self.wait_until_stopped()
    }

    /// SIGCONT: a frozen process goes on where it was.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal("CONT")?;
        self.state = MemberState::Running;
        Ok(())
    }

    /// Starts the process again after [`Member::kill`], on the same port and data, and returns when
    /// it listens; a running or frozen one is killed first.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.spawn()?;
        self.wait_until_listening()
    }

    /// As [`Member::restart`], without any data, as a member of a set of another name.
    pub(crate) fn restart_empty(&mut self, set_name: &str) -> Result<()> {
        self.kill()?;
        let data = self.data_path();
        fs::remove_dir_all(&data).map_err(Error::io("removing the data"))?;
        fs::create_dir_all(&data).map_err(Error::io("creating the data folder"))?;
        set_name.clone_into(&mut self.set_name);
        self.restart()
    }

    /// Asks it to step down as primary and not to stand again for `seconds`.
    ///
    /// # Errors
    ///
    /// [`Error::Command`], for example when it is not the primary.
    pub fn step_down(&self, seconds: u32) -> Result<()> {
        self.command(&doc! {
            "replSetStepDown": i64::from(seconds),
            "secondaryCatchUpPeriodSecs": i64::from(seconds.min(5)),
            "force": true,
        })
        .map(|_| ())
    }

    /// Runs `command` over a connection of its own.
    ///
    /// # Errors
    ///
    /// As [`Connection::run`].
    pub fn command(&self, command: &Document) -> Result<Document> {
        self.connect(COMMAND_TIMEOUT)?.run(command)
    }

    /// A direct connection to it, which may do everything.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; as [`Connection::run`] where the server wants a password.
    pub fn connect(&self, timeout: Duration) -> Result<Connection> {
        let mut connection = Connection::open(self.address, timeout)?;
        if self.options.access_control {
            access::enter(&mut connection)?;
        }
        Ok(connection)
    }

    /// Whether it says that it accepts writes; a member that does not answer does not.
    pub fn is_writable_primary(&self) -> bool {
        self.role("isWritablePrimary")
    }

    /// Whether it says that it is readable: primary, secondary or arbiter.
    pub(crate) fn is_settled(&self) -> bool {
        self.role("isWritablePrimary") || self.role("secondary") || self.role("arbiterOnly")
    }

    fn role(&self, field: &str) -> bool {
        // Servers before 5.0 know hello too, from 4.4.2 on.
        self.state == MemberState::Running
            && self
                .connect(POLL_TIMEOUT)
                .and_then(|mut connection| connection.run(&doc! { "hello": 1 }))
                .is_ok_and(|reply| reply.get_bool(field).unwrap_or(false))
    }

    fn spawn(&mut self) -> Result<()> {
        let mut command = self.binary.command();
        let wants_socket = self.options.extra_args.iter().any(|a| a == "--unixSocketPrefix");
        let no_socket = (!wants_socket).then_some("--nounixsocket");
        if !self.set_name.is_empty() {
            command.args(["--replSet", &self.set_name, "--oplogSize", "32"]);
        }
        command
            .args(["--port", &self.address.port().to_string()])
            .args(["--bind_ip", "127.0.0.1"])
            .args(["--wiredTigerCacheSizeGB", "0.25", "--logappend", "--dbpath"])
            .arg(self.data_path())
            .arg("--logpath")
            .arg(self.log_path())
            .args(["--setParameter", "enableTestCommands=1"])
            .args(self.key_arguments()?)
            .args(&self.options.extra_args)
            .args(no_socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Of its own group, so that an interrupt from the terminal ends the program first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        self.log_before = fs::read(self.log_path()).map_or(0, |log| log.len());
        let process = command.spawn().map_err(Error::io("starting mongod"))?;
        let written = fs::write(self.pid_path(), process.id().to_string());
        self.process = Some(process);
        self.state = MemberState::Running;
        written.map_err(Error::io("writing the process id"))
    }

    fn key_arguments(&self) -> Result<Vec<OsString>> {
        if !self.options.access_control {
            return Ok(Vec::new());
        }
        Ok(vec!["--keyFile".into(), access::key_file(&self.folder, self.id)?.into()])
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(process) = &mut self.process
                && let Some(status) = process.try_wait().map_err(Error::io("waiting for mongod"))?
            {
                self.kill()?;
                return Err(Error::Start(format!("mongod ended: {status}\n{}", self.log_end())));
            }
            match self.is_answering() {
                Ok(true) => return Ok(()),
                result if Instant::now() >= deadline => {
                    return Err(Error::Timeout(format!(
                        "{} does not answer: {result:?}\n{}",
                        self.address,
                        self.log_end()
                    )));
                }
                _ => thread::sleep(POLL_INTERVAL),
            }
        }
    }

    /// Whether the process answers; another one may have taken its port, and then it ends soon.
    fn is_answering(&self) -> Result<bool> {
        if self.options.extra_args.iter().any(|argument| argument == "requireTLS") {
            return Ok(self.says_that_it_waits());
        }
        let status = self.connect(POLL_TIMEOUT)?.run(&doc! { "serverStatus": 1 })?;
        let pid = match status.get("pid") {
            Some(Bson::Int64(pid)) => u32::try_from(*pid).ok(),
            Some(Bson::Int32(pid)) => u32::try_from(*pid).ok(),
            _ => None,
        };
        Ok(pid == self.pid())
    }

    /// What a server that does not speak plain is asked in place of a command: whether its log
    /// says, since its process was started, that it listens.
    fn says_that_it_waits(&self) -> bool {
        self.log().contains("Waiting for connections")
    }

    /// What its latest process wrote.
    fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(log.get(self.log_before..).unwrap_or_default()).into_owned()
    }

    fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid().ok_or_else(|| Error::Start("the member is stopped".into()))?;
        // The standard library sends no other signal than SIGKILL; every shell does.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status()
            .map_err(Error::io("sending a signal"))?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Start(format!("SIG{name} to process {pid}: {status}")))
    }

    /// Waits until no thread of the frozen process runs any more: a signal takes its time.
    fn wait_until_stopped(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        while has_running_thread(pid) {
            if Instant::now() >= deadline {
                return Err(Error::Timeout(format!("process {pid} does not stop")));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        let mut end = String::new();
        for line in lines.iter().skip(lines.len().saturating_sub(LOG_LINES)) {
            let _ = writeln!(end, "{line}");
        }
        end
    }

    fn data_path(&self) -> PathBuf {
        self.folder.join(format!("{}.data", self.id))
    }

    fn pid_path(&self) -> PathBuf {
        self.folder.join(format!("{}.pid", self.id))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Whether any thread of a process is not stopped, where the system tells (`/proc`).
fn has_running_thread(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| thread.path().join("stat")).any(|path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        // The state comes after the program's name, which is in parentheses.
        text.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['T', 'Z', 'X']))
    })
}

pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

const PORT_ATTEMPTS: usize = 5;
const LOG_LINES: usize = 12;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_TIMEOUT: Duration = Duration::from_millis(1000);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
