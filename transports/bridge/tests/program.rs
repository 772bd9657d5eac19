//! The program as its users run it: exit status, what goes where, and a real failover.
//!
//! The last two need a mongod (`cargo xtask setup` installs one) and fail without.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

fn portolan() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portolan"))
}

fn run(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = portolan().args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// Nothing listens there: the port was free a moment ago.
fn nothing() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn help_is_a_result_and_bad_usage_is_an_error() {
    let (status, stdout, stderr) = run(&["--help"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.contains("portolan watch mongodb://"), "{stdout}");
    for args in [
        &["watch"][..],
        &["watch", "http://a"],
        &["watch", "mongodb://a", "--for", "soon"],
        &["ping", "mongodb://"],
        &["bridge", "--uri", "mongodb://a", "--allow-origin", "example.com"],
        &["bridge", "--uri", "mongodb://a", "--dashboard", "no/such/folder"],
        &["bridge"],
        &["demo", "--members", "9"],
    ] {
        let (status, stdout, stderr) = run(args);
        assert_eq!((status, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
        assert!(!stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_ping_that_fails_names_the_server_and_the_reason() {
    let address = nothing();
    let uri = format!("mongodb://{address}/?serverSelectionTimeoutMS=200&tpyo=1");
    let (status, stdout, stderr) = run(&["ping", &uri]);
    assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("warning") && stderr.contains("tpyo"), "{stderr}");
    assert!(stderr.contains(&address) && stderr.contains("refused"), "{stderr}");
}

#[test]
fn watching_prints_json_lines_and_ends_after_its_time() {
    let uri = format!("mongodb://{}", nothing());
    let (status, stdout, stderr) = run(&["watch", "--json", "--for", "300ms", &uri]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let events: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[..3], ["topologyOpening", "topologyDescriptionChanged", "serverOpening"]);
    assert!(kinds.contains(&"serverHeartbeatFailed"), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"topologyClosed"));
    let times: Vec<f64> = events.iter().map(|event| event["t_ms"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn watching_for_people_is_one_line_an_event() {
    let address = nothing();
    let (status, stdout, _) = run(&["watch", "--for", "300ms", &format!("mongodb://{address}")]);
    assert_eq!(status, 0);
    let failed = stdout.lines().find(|line| line.contains("heartbeat FAILED")).unwrap();
    assert!(failed.contains(&address) && failed.contains("refused"), "{failed}");
}

/// A program that runs until it is dropped or stopped.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        Self::of(portolan().args(args))
    }

    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The rest of the first line that starts with `start`.
    fn line(&mut self, start: &str) -> String {
        loop {
            let line = self.lines.next().expect("the program still runs").unwrap();
            if let Some(rest) = line.strip_prefix(start) {
                return rest.to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn stop(mut self, signal: &str) -> i32 {
        self.signal(signal);
        self.child.wait().unwrap().code().expect("it ends by itself")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP request; the answer's body.
fn http(url: &str, request: &str, body: &str) -> String {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "{request} HTTP/1.1\r\nhost: {host}\r\norigin: {url}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_bridge_says_where_it_listens_and_ends_at_either_signal() {
    for signal in ["-TERM", "-INT"] {
        let uri = format!("mongodb://u:secret@{}", nothing()).replace("u:secret@", "");
        let mut bridge = Running::start(&["bridge", "--listen", "127.0.0.1:0", "--uri", &uri]);
        let url = bridge.line("listening on ");
        assert_eq!(http(&url, "GET /healthz", ""), "ok\n");
        let config: Value = serde_json::from_str(&http(&url, "GET /config.json", "")).unwrap();
        assert_eq!(config["uri"], format!("{uri}/"));
        assert_eq!(config["demo"], false);
        assert_eq!(bridge.stop(signal), 0, "{signal}");
    }
}

#[test]
fn an_address_in_use_is_said() {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let uri = format!("mongodb://{}", nothing());
    let (status, _, stderr) = run(&["bridge", "--listen", &address, "--uri", &uri]);
    assert_eq!(status, 1);
    assert!(stderr.contains(&format!("cannot listen on {address}")), "{stderr}");
}

/// The demo's members, as its page sees them.
fn members(url: &str) -> Vec<Value> {
    serde_json::from_str(&http(url, "GET /demo/members", "")).unwrap()
}

#[test]
fn without_a_mongod_the_demo_says_so_and_simulates() {
    let folder = std::env::temp_dir().join(format!("portolan-no-mongod-{}", std::process::id()));
    let mut command = portolan();
    for name in ["PATH", "PORTOLAN_MONGOD", "XDG_CACHE_HOME", "HOME"] {
        command.env(name, &folder);
    }
    let child = command.args(["demo", "--port", "0"]).stderr(Stdio::piped());
    let mut demo = Running::of(child);
    assert_eq!(demo.line("replica set: "), "simulated");
    let uri = demo.line("connection string: ");
    let url = demo.line("listening on ");
    let (status, stdout, stderr) = run(&["ping", &uri]);
    assert!(status == 0 && stdout.contains(" RSPrimary "), "{stdout}{stderr}");
    let answer = http(&url, "POST /demo/members/1/freeze", "{}");
    assert_eq!(answer, "{\"ok\":true}");
    assert_eq!(members(&url)[1]["state"], "frozen");
    let mut errors = demo.child.stderr.take().unwrap();
    assert_eq!(demo.stop("-TERM"), 0);
    let mut text = String::new();
    errors.read_to_string(&mut text).unwrap();
    assert!(text.contains("no mongod") && text.contains("simulated set"), "{text}");
}

#[test]
fn the_demo_lets_its_page_kill_the_primary_and_watching_shows_the_failover_in_order() {
    let mut demo = Running::start(&["demo", "--port", "0"]);
    assert!(demo.line("replica set: ").starts_with("mongod "));
    let uri = demo.line("connection string: ");
    let url = demo.line("listening on ");
    assert_eq!(members(&url).len(), 3);

    let (status, stdout, stderr) = run(&["ping", &uri]);
    assert_eq!(status, 0, "{stderr}");
    let primary = stdout.split(' ').next().unwrap().to_owned();
    assert!(stdout.contains(" RSPrimary "), "{stdout}");

    let mut watch = Running::start(&["watch", "--json", "--for", "60s", &uri]);
    let mut seen = Vec::new();
    until(&mut watch, &mut seen, |event| new_primary(event).is_some());
    let killed = members(&url).iter().position(|member| member["address"] == *primary).unwrap();
    let answer = http(&url, &format!("POST /demo/members/{killed}/kill"), "{}");
    assert_eq!(answer, "{\"ok\":true}");
    seen.clear();
    until(&mut watch, &mut seen, |event| new_primary(event).is_some_and(|new| new != primary));
    let place = |wanted: &dyn Fn(&Value) -> bool| seen.iter().position(wanted).unwrap();
    let of_primary = |event: &Value| event["address"] == *primary;
    let failed = place(&|e| of_primary(e) && e["kind"] == "serverHeartbeatFailed");
    let unknown = place(&|e| of_primary(e) && e["newDescription"]["type"] == "Unknown");
    let lost = place(&|e| e["newDescription"]["topologyType"] == "ReplicaSetNoPrimary");
    assert!(failed < unknown && unknown < lost && lost < seen.len() - 1);
    assert_eq!(watch.stop("-INT"), 0);

    assert_eq!(members(&url)[killed]["state"], "stopped");
    let again = http(&url, &format!("POST /demo/members/{killed}/kill"), "{}");
    assert_eq!(again, format!("{{\"error\":\"member {killed} is stopped\"}}"));
    assert_eq!(http(&url, &format!("POST /demo/members/{killed}/restart"), ""), "{\"ok\":true}");
    assert_eq!(demo.stop("-TERM"), 0);
    for address in seen_addresses(&uri) {
        assert!(TcpStream::connect(&address).is_err(), "{address} still listens");
    }
}

/// The address of the primary where `event` is a topology that has one.
fn new_primary(event: &Value) -> Option<&str> {
    let servers = event["newDescription"]["servers"].as_array()?;
    servers.iter().find(|server| server["type"] == "RSPrimary")?["address"].as_str()
}

/// Collects events until one is `wanted`; it is the last.
fn until(watch: &mut Running, seen: &mut Vec<Value>, wanted: impl Fn(&Value) -> bool) {
    let started = Instant::now();
    loop {
        let line = watch.lines.next().expect("watching goes on").unwrap();
        seen.push(serde_json::from_str(&line).unwrap());
        if wanted(&seen[seen.len() - 1]) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(50), "it did not happen: {seen:#?}");
    }
}

fn seen_addresses(uri: &str) -> Vec<String> {
    let hosts = uri.strip_prefix("mongodb://").unwrap().split('/').next().unwrap();
    hosts.split(',').map(str::to_owned).collect()
}
