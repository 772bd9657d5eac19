//! The program as a service: its configuration, its health, its end, and what it never says.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "bans of the engine")]
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use portolan_sim::SimulatedSet;
use serde_json::Value;

const TOKEN: &str = "secret-token-0123456789";
const PASSWORD: &str = "pa55word";

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("portolan-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A bridge that runs; what it writes to standard output.
struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_portolan"))
            .arg("bridge")
            .args(args)
            .env("MONGODB_LOG_ALL", "debug")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    /// The rest of the next line, which starts with `start`.
    fn line(&mut self, start: &str) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let rest = line.trim_end().strip_prefix(start);
        rest.unwrap_or_else(|| panic!("not {start}: {line}")).to_owned()
    }

    /// Asks it to end; its log.
    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.child.wait().unwrap().success());
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The answer to a GET with these header lines; status and body.
fn get(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

const CLOSE: &str = "connection: close\r\n";

/// Fails a tunnel with a token that is almost right.
fn knock(address: &str) {
    let headers = format!(
        "connection: close, upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         sec-websocket-protocol: portolan.v1, portolan.token.{TOKEN}x\r\n"
    );
    let (status, body) = get(address, "/tunnel/orders", &headers);
    assert_eq!(status, 401);
    assert!(!body.contains(TOKEN), "{body}");
}

/// Waits until `/readyz` says so.
fn until(address: &str, status: u16, text: &str) {
    for _ in 0..500 {
        if get(address, "/readyz", CLOSE) == (status, format!("{text}\n")) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("never {text}: {:?}", get(address, "/readyz", CLOSE));
}

#[test]
fn a_file_configures_it_and_neither_log_nor_metrics_nor_pages_have_a_secret() {
    let folder = Folder::new("service");
    let set = SimulatedSet::start("rs0", 1, None).unwrap();
    let with_password =
        |uri: &str| uri.replace("mongodb://", &format!("mongodb://ann:{PASSWORD}@"));
    // Nobody answers there, and so the deployment with the password is not ready.
    let orders = folder.file("orders.uri", &with_password("mongodb://127.0.0.1:1/"));
    let tokens = folder.file("tokens", &format!("{TOKEN} orders,default\n"));
    let config = folder.file(
        "bridge.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\nmetrics-listen = \"127.0.0.1:0\"\nlog-format = \"json\"\n\
             log-level = \"debug\"\nuri = \"{}\"\ntoken-file = [\"{tokens}\"]\n\
             [deployments.orders]\nuri-file = \"{orders}\"\n",
            set.uri()
        ),
    );
    let mut bridge = Running::start(&["--config", &config]);
    let address = bridge.line("listening on http://");
    let metrics = bridge.line("metrics on http://");
    assert_eq!(get(&address, "/healthz", CLOSE), (200, "ok\n".to_owned()));
    until(&address, 503, "1 of 2 have not answered");
    assert_eq!(get(&address, "/metrics", CLOSE).0, 404, "it is served elsewhere");
    knock(&address);
    let (status, page) = get(&metrics, "/metrics", CLOSE);
    assert_eq!(status, 200);
    for line in [
        "portolan_bridge_refused_total{reason=\"token\"} 1",
        "portolan_bridge_members{deployment=\"default\"} 1",
        "portolan_bridge_ready{deployment=\"orders\"} 0",
        "# TYPE portolan_bridge_tunnels gauge",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in {page}");
    }
    let bearer = format!("{CLOSE}authorization: Bearer {TOKEN}\r\n");
    let (status, body) = get(&address, "/config/orders.json", &bearer);
    assert_eq!(status, 200, "{body}");
    let log = bridge.stop();
    let messages: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let said = |text: &str| messages.iter().any(|line| line["message"] == *text);
    assert!(said("listening") && said("shutting down") && said("shut down"), "{log}");
    let refused = messages.iter().find(|line| line["reason"] == "token").unwrap();
    assert_eq!((&refused["level"], &refused["client"]), (&"warn".into(), &"127.0.0.1".into()));
    assert!(messages.iter().any(|line| line["target"] == "portolan::topology"), "{log}");
    for text in [&log, &page, &body] {
        assert!(!text.contains(TOKEN) && !text.contains(PASSWORD), "{text}");
    }
}

#[test]
fn it_is_ready_once_a_member_has_answered_and_serves_metrics_to_this_machine() {
    let set = SimulatedSet::start("rs0", 1, None).unwrap();
    let mut bridge = Running::start(&["--listen", "127.0.0.1:0", "--uri", &set.uri()]);
    let address = bridge.line("listening on http://");
    until(&address, 200, "ready");
    let (status, page) = get(&address, "/metrics", CLOSE);
    assert!(status == 200 && page.contains("portolan_bridge_ready{deployment=\"default\"} 1"));
    let through_a_proxy = format!("{CLOSE}x-forwarded-for: 203.0.113.1\r\n");
    assert_eq!(get(&address, "/metrics", &through_a_proxy).0, 404);
    let log = bridge.stop();
    assert!(log.lines().any(|line| line.contains(" INFO  listening address=127.0.0.1:")), "{log}");
}

#[test]
fn what_is_wrong_is_said_by_its_name_and_without_a_secret() {
    let folder = Folder::new("service-errors");
    let uri = format!("mongodb://ann:{PASSWORD}@127.0.0.1:1");
    let short = folder.file("short", "tooshort-s3cret");
    let config = folder.file("bad.toml", &format!("uri = \"{uri}\"\nidel = \"10s\"\n"));
    let typed = folder.file("typed.toml", &format!("max-sockets = \"{uri}\"\n"));
    let both = folder.file("both.toml", "[deployments.a]\nallow-target = [\"b:1\"]\n");
    for (args, said) in [
        (&["--config", &*config][..], "bad.toml:2: "),
        (&["--config", &typed], "typed.toml:1: "),
        (&["--config", &both], "deployment a: give one of uri and uri-file"),
        (&["--config", "no/such.toml"], "no/such.toml"),
        (&[], "no deployment"),
        (&["--uri", &uri, "--token-file", &short], "short: line 1"),
        (&["--uri", &uri, "--jwt-hs256-key-file", &short], "jwt-audience"),
        (&["--uri", &uri, "--jwt-audience", "a", "--jwt-hs256-key-file", &short], "32 bytes"),
        (&["--uri", &uri, "--jwt-audience", "a", "--jwt-eddsa-key-file", &short], "PUBLIC KEY"),
        (&["--uri", &uri, "--jwt-audience", "a"], "without a key"),
        (&["--uri", &uri, "--tls-key-file", &short], "give both, or neither"),
        (&["--uri", &uri, "--allow-target", "b"], "allow-target: \"b\" is no target"),
        (&["--uri", &uri, "--allow-network", "b"], "allow-network: \"b\" is no network"),
        (&["--uri", &uri, "--trusted-proxy", "b"], "trusted-proxy: \"b\" is no network"),
        (&["--uri", &uri, "--allow-host", "b:1"], "allow-host: \"b:1\" is not a host"),
        (&["--deployment", &uri], "NAME=URI"),
        (&["--deployment", "a b=mongodb://c"], "a name has letters"),
        (&["--uri", &uri, "--deployment", "default=mongodb://c"], "two of the name default"),
        (&["--uri", &uri, "--idle", "10"], "--idle"),
        (&["--uri", &uri, "--max-frame", "1MB"], "--max-frame"),
        (&["--uri", &uri, "--uri-file", &short], "--uri-file"),
    ] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_portolan")).arg("bridge").args(args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
        let shown = stderr.contains(PASSWORD) || stderr.contains("s3cret");
        assert!(!shown, "{args:?}: {stderr}");
    }
}

#[test]
fn its_help_names_every_limit_with_its_default() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_portolan")).args(["bridge", "--help"]).output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let limits = portolan_bridge::Limits::default();
    let words: Vec<&str> = help.split_whitespace().collect();
    let text = words.join(" ");
    for (flag, default) in [
        ("--max-connections ", limits.connections.to_string()),
        ("--max-connections-per-address ", limits.connections_per_address.to_string()),
        ("--max-sockets ", limits.sockets.to_string()),
        ("--max-streams ", limits.streams.to_string()),
        ("--tunnel-window ", format!("{}MiB", limits.tunnel_window >> 20)),
        ("--max-buffered ", format!("{}GiB", limits.buffer_total >> 30)),
        ("--max-frame ", limits.frame.to_string()),
        ("--opens-per-second ", limits.opens_per_second.to_string()),
        ("--opens-burst ", limits.opens_burst.to_string()),
        ("--pings-per-second ", limits.pings_per_second.to_string()),
        ("--handshake ", format!("{}s", limits.handshake.as_secs())),
        ("--dial ", format!("{}s", limits.dial.as_secs())),
        ("--idle ", format!("{}s", limits.idle.as_secs())),
        ("--notice ", format!("{}s", limits.notice.as_secs())),
        ("--drain ", format!("{}s", limits.drain.as_secs())),
    ] {
        let rest = text.split(flag).nth(1).unwrap_or_else(|| panic!("{flag} is not in {text}"));
        let said = rest.split("[default: ").nth(1).unwrap().split(']').next().unwrap();
        assert_eq!(said, default, "{flag}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
}
