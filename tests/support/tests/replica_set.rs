//! The support crate against a real mongod: what it promises to every live test.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use bson::doc;
use portolan_support::{
    ElectionStep, MemberOptions, MemberState, MongodBinary, ReplicaSet, ReplicaSetOptions,
    election_events,
};

fn start(members: usize) -> ReplicaSet {
    let binary = MongodBinary::find(None).expect("a mongod; `cargo xtask setup` installs it");
    ReplicaSet::start(ReplicaSetOptions::new(binary, members)).expect("a replica set")
}

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_killed_primary_is_replaced_and_its_successor_logs_the_election() {
    let mut set = start(3);
    let killed = set.primary().expect("a primary");
    let before = SystemTime::now();
    set.member_mut(killed).kill().expect("kill");
    assert_eq!(set.member(killed).state(), MemberState::Stopped);
    let next = set.wait_for_primary(SOON).expect("a new primary");
    assert_ne!(next, killed);
    let events = election_events(&set.member(next).log_path()).expect("a log");
    let steps: Vec<_> =
        events.iter().filter(|event| event.at >= before).map(|event| event.step).collect();
    assert_eq!(
        steps,
        [ElectionStep::Started, ElectionStep::Succeeded, ElectionStep::PrimaryComplete]
    );
    set.member_mut(killed).restart().expect("restart");
    set.wait_until("the old primary is back", SOON, |set| {
        set.command(killed, &doc! { "hello": 1 })
            .is_ok_and(|hello| hello.get_bool("secondary").unwrap_or(false))
    })
    .expect("a secondary");
}

#[test]
fn members_come_go_and_freeze() {
    let mut set = start(1);
    let added = set.add_member(MemberOptions::tagged("dc", "paris")).expect("a member");
    set.wait_until("a secondary", SOON, |set| {
        set.command(added, &doc! { "hello": 1 })
            .is_ok_and(|hello| hello.get_bool("secondary").unwrap_or(false))
    })
    .expect("a secondary");
    let hello = set.command(added, &doc! { "hello": 1 }).expect("hello");
    assert_eq!(hello.get_document("tags").expect("tags"), &doc! { "dc": "paris" });

    set.member_mut(added).freeze().expect("freeze");
    let silent = set
        .member(added)
        .connect(Duration::from_millis(200))
        .and_then(|mut c| c.run(&doc! { "ping": 1 }));
    assert!(silent.is_err(), "a frozen member answered");
    set.member_mut(added).thaw().expect("thaw");
    set.command(added, &doc! { "ping": 1 }).expect("a thawed member answers");

    set.remove_member(added).expect("a reconfig");
    set.wait_until("one host", SOON, |set| {
        set.command(0, &doc! { "hello": 1 })
            .is_ok_and(|hello| hello.get_array("hosts").is_ok_and(|hosts| hosts.len() == 1))
    })
    .expect("one host");
}

/// A program that dies without dropping anything leaves neither processes nor data.
#[test]
fn a_killed_program_leaves_nothing_behind() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let data = std::env::temp_dir().join(format!("portolan-support-{}", std::process::id()));
    std::fs::create_dir_all(&data).expect("a folder");
    let mut program = Command::new(env!("CARGO_BIN_EXE_portolan-servers"))
        .args(["--members", "1"])
        .env("PORTOLAN_DATA", &data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut uri = String::new();
    BufReader::new(program.stdout.take().expect("piped")).read_line(&mut uri).expect("a line");
    let address = uri["mongodb://".len()..].split('/').next().expect("an address").to_owned();
    std::net::TcpStream::connect(&address).expect("the member listens");
    program.kill().expect("kill");
    program.wait().expect("wait");
    let deadline = std::time::Instant::now() + SOON;
    while std::net::TcpStream::connect(&address).is_ok() || !is_empty(&data) {
        assert!(std::time::Instant::now() < deadline, "{address} or its data are still there");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_dir(&data).expect("an empty folder");
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut entries| entries.next().is_none())
}
