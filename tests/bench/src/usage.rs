//! What a process has used.

use std::fs;
use std::io;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::unistd::Pid;

/// CPU time of this process, user and system, in nanoseconds.
pub fn cpu_nanos() -> u64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0 };
    let nanos = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec() * 1_000_000 + i64::from(time.tv_usec())).unwrap_or(0) * 1_000
    };
    nanos(usage.user_time()) + nanos(usage.system_time())
}

/// How often threads of a process gave up the CPU to wait: each time, something woke them later.
pub fn waits(pid: u32) -> io::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the look.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
        sum += field(&status, "voluntary_ctxt_switches:").unwrap_or(0);
    }
    Ok(sum)
}

/// Threads of a process.
pub fn threads(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    field(&status, "Threads:").ok_or_else(|| io::Error::other("no Threads in /proc"))
}

/// Resident memory of a process, in bytes.
pub fn resident(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = field(&status, "VmRSS:").ok_or_else(|| io::Error::other("no VmRSS in /proc"))?;
    Ok(kib * 1024)
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Memory of a process and its descendants, in bytes, each shared page counted once.
pub fn proportional_of_all(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kib = field(&rollup, "Pss:").ok_or_else(|| io::Error::other("no Pss in /proc"))?;
    let mut sum = kib * 1024;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|child| child.parse().ok()) {
            // A child may end between the listing and the look.
            sum += proportional_of_all(child).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Allows this process and those it starts as many open files as the system lets it.
pub fn allow_many_files() {
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where that fails, the limit in place is found soon enough.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

/// Keeps all threads of a process on one CPU.
pub fn keep_on(pid: u32, cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = task?.file_name().to_string_lossy().parse().map_err(io::Error::other)?;
        sched_setaffinity(Pid::from_raw(thread), &set)?;
    }
    Ok(())
}
