//! What `portolan bridge` is told: flags, and a file with the same names. A flag wins.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::Failure;
use super::args::duration;
use super::redact::redacted;

/// Let web pages reach the members of a deployment, and nothing else, through a WebSocket.
///
/// Pages of other origins than the bridge's own are refused unless --allow-origin names them;
/// with tokens, every client needs one. Streams go to current members of the deployment, which
/// the bridge knows because it runs this driver, at addresses of the kind that its seeds have.
#[derive(Default, Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Read options from this TOML file, by the names of the flags without their dashes (a list
    /// for what is repeatable), and tables [deployments.NAME] with uri, uri-file, allow-target,
    /// allow-network and allow-look-up. A flag wins over the file.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// Where to listen; port 0 takes any free port, which is printed. [default: 127.0.0.1:8017]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// The folder of the dashboard to serve; `cargo xtask web` builds one.
    #[arg(long, value_name = "DIR")]
    pub(crate) dashboard: Option<PathBuf>,
    /// Serve TLS with this PEM file of certificates, the bridge's own first.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_certificate_file: Option<PathBuf>,
    /// The PEM file of its private key.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key_file: Option<PathBuf>,
    /// Serve /metrics here, with /healthz and /readyz; without it /metrics is served to programs
    /// of this machine only.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<SocketAddr>,

    /// The connection string of the deployment, served at /tunnel; its TLS options hold for the
    /// bridge's own client. Pages are given it without credentials.
    #[arg(long, value_name = "URI", help_heading = DEPLOYMENTS)]
    pub(crate) uri: Option<String>,
    /// The same from a file: a password in a command line is seen by all users of the machine.
    #[arg(long, value_name = "FILE", conflicts_with = "uri", help_heading = DEPLOYMENTS)]
    pub(crate) uri_file: Option<PathBuf>,
    /// One more deployment, served at /tunnel/NAME; repeatable.
    #[arg(long, value_name = "NAME=URI", help_heading = DEPLOYMENTS)]
    pub(crate) deployment: Vec<String>,
    /// What may be dialled beside members of the --uri, such as db.example:27017,
    /// *.db.example:27017-27019; repeatable.
    #[arg(long, value_name = "HOST:PORT", help_heading = DEPLOYMENTS)]
    pub(crate) allow_target: Vec<String>,
    /// The networks beside public addresses in which members may be, such as 10.1.0.0/16, in place
    /// of those of the kind (loopback, private, link-local) that the seeds have; repeatable.
    #[arg(long, value_name = "NETWORK", help_heading = DEPLOYMENTS)]
    pub(crate) allow_network: Vec<String>,
    /// A domain whose SRV and TXT records clients may look up, beside that of a mongodb+srv
    /// string; repeatable.
    #[arg(long, value_name = "DOMAIN", help_heading = DEPLOYMENTS)]
    pub(crate) allow_look_up: Vec<String>,
    #[arg(skip)]
    pub(crate) deployments: BTreeMap<String, DeploymentTable>,

    /// Trust pages of this origin, such as https://app.example, beside the bridge's own;
    /// repeatable.
    #[arg(long, value_name = "ORIGIN", help_heading = WHO)]
    pub(crate) allow_origin: Vec<String>,
    /// Serve programs that send neither Origin header nor token. Browsers always send the header.
    #[arg(long, help_heading = WHO)]
    pub(crate) allow_no_origin: bool,
    /// A name of the bridge itself, such as bridge.example; IP addresses, localhost and hosts of
    /// allowed origins are known; repeatable.
    #[arg(long, value_name = "HOST", help_heading = WHO)]
    pub(crate) allow_host: Vec<String>,
    /// Want a token of this file: one a line, then perhaps a blank and the deployments it is for,
    /// separated by commas; repeatable.
    #[arg(long, value_name = "FILE", help_heading = WHO)]
    pub(crate) token_file: Vec<PathBuf>,
    /// Want a JSON Web Token signed by HS256 with the bytes of this file; repeatable.
    #[arg(long, value_name = "FILE", help_heading = WHO)]
    pub(crate) jwt_hs256_key_file: Vec<PathBuf>,
    /// Want a JSON Web Token signed by EdDSA (Ed25519) with the key whose public half is in this
    /// PEM file; repeatable.
    #[arg(long, value_name = "FILE", help_heading = WHO)]
    pub(crate) jwt_eddsa_key_file: Vec<PathBuf>,
    /// What a JSON Web Token's aud must have.
    #[arg(long, value_name = "NAME", help_heading = WHO)]
    pub(crate) jwt_audience: Option<String>,
    /// A proxy (or network of them) whose X-Forwarded-For is believed; repeatable.
    #[arg(long, value_name = "NETWORK", help_heading = WHO)]
    pub(crate) trusted_proxy: Vec<String>,

    /// Connections of any kind at once. [default: 512]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) max_connections: Option<usize>,
    /// The same of one client address, or /64 of IPv6. [default: 128]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) max_connections_per_address: Option<usize>,
    /// WebSockets at once. [default: 128]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) max_sockets: Option<usize>,
    /// Streams in one WebSocket; a client uses a handful for each member. [default: 256]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) max_streams: Option<usize>,
    /// What a tunnel's streams may hold unread, beyond 256KiB each. [default: 1MiB]
    #[arg(long, value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) tunnel_window: Option<Size>,
    /// What everything together may come to hold; beyond it, nothing is opened. [default: 1GiB]
    #[arg(long, value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) max_buffered: Option<Size>,
    /// The largest WebSocket message taken. [default: 1048640]
    #[arg(long, value_name = "BYTES", help_heading = LIMITS)]
    pub(crate) max_frame: Option<Size>,
    /// WebSockets and streams that one client address may open in a second, on average.
    /// [default: 50]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) opens_per_second: Option<u32>,
    /// The same at once. [default: 500]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) opens_burst: Option<u32>,
    /// Pings and empty frames that one WebSocket may send in a second, on average. [default: 10]
    #[arg(long, value_name = "COUNT", help_heading = LIMITS)]
    pub(crate) pings_per_second: Option<u32>,
    /// From a connection's start to its request, and a stream's to its open request.
    /// [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub(crate) handshake: Option<Time>,
    /// How long a member may take to be connected. [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub(crate) dial: Option<Time>,
    /// Close a WebSocket of which nothing was heard, or which took nothing, for this long.
    /// [default: 60s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub(crate) idle: Option<Time>,
    /// At SIGTERM, how long /readyz says no before anything else happens. [default: 0s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub(crate) notice: Option<Time>,
    /// Then, how long answers that are awaited may take. [default: 3s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub(crate) drain: Option<Time>,

    /// How the log is written, to standard error. [default: text]
    #[arg(long, value_name = "FORMAT", help_heading = LOG)]
    pub(crate) log_format: Option<LogFormat>,
    /// What the log has. [default: info]
    #[arg(long, value_name = "LEVEL", help_heading = LOG)]
    pub(crate) log_level: Option<LogLevel>,
}

const DEPLOYMENTS: &str = "Where to";
const WHO: &str = "Who may";
const LIMITS: &str = "How much";
const LOG: &str = "Log";

/// `[deployments.NAME]`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct DeploymentTable {
    pub(crate) uri: Option<String>,
    pub(crate) uri_file: Option<PathBuf>,
    pub(crate) allow_target: Vec<String>,
    pub(crate) allow_network: Vec<String>,
    pub(crate) allow_look_up: Vec<String>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// What the log has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogLevel {
    /// Nothing.
    Off,
    /// What was refused.
    Warn,
    /// And each WebSocket.
    #[default]
    Info,
    /// And each stream.
    Debug,
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`, `2GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "IntOrText")]
pub(crate) struct Size(pub(crate) usize);

#[derive(Deserialize)]
#[serde(untagged)]
enum IntOrText {
    Int(usize),
    Text(String),
}

impl TryFrom<IntOrText> for Size {
    type Error = String;

    fn try_from(value: IntOrText) -> Result<Self, String> {
        match value {
            IntOrText::Int(bytes) => Ok(Self(bytes)),
            IntOrText::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let shift = match &text[digits.len()..] {
            "" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err("write bytes, or a number and KiB, MiB or GiB".to_owned()),
        };
        let count = digits.parse::<usize>().ok().and_then(|count| count.checked_mul(1 << shift));
        count.map(Self).ok_or_else(|| format!("\"{digits}\" is not a number of bytes"))
    }
}

/// A time: `500ms`, `10s`, `5m`, `1h`, or `0s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Time(pub(crate) Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "0s" { Ok(Self(Duration::ZERO)) } else { duration(text).map(Self) }
    }
}

impl Settings {
    /// These flags, and what the file says of everything else.
    pub(crate) fn with_file(self) -> Result<Self, Failure> {
        match &self.config {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Failure::Usage(format!("--config {}: {error}", path.display()))
                })?;
                let file = Self::parse(&text, path)?;
                Ok(self.over(file))
            }
            None => Ok(self),
        }
    }

    /// Reads a file's text. Errors name the line, and quote no password.
    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
            let message = redacted(error.message());
            Failure::Usage(format!("{}:{line}: {message}", path.display()))
        })
    }

    fn over(mut self, file: Self) -> Self {
        macro_rules! options {
            ($($field:ident)*) => {$(
                if self.$field.is_none() {
                    self.$field = file.$field;
                }
            )*};
        }
        macro_rules! lists {
            ($($field:ident)*) => {$(
                if self.$field.is_empty() {
                    self.$field = file.$field;
                }
            )*};
        }
        let has_uri = self.uri.is_some() || self.uri_file.is_some();
        if !has_uri {
            options!(uri uri_file);
        }
        options!(listen dashboard tls_certificate_file tls_key_file metrics_listen jwt_audience);
        options!(max_connections max_connections_per_address max_sockets max_streams);
        options!(tunnel_window max_buffered max_frame opens_per_second opens_burst);
        options!(pings_per_second handshake dial idle notice drain log_format log_level);
        lists!(deployment allow_target allow_network allow_look_up deployments allow_origin);
        lists!(allow_host token_file jwt_hs256_key_file jwt_eddsa_key_file trusted_proxy);
        self.allow_no_origin |= file.allow_no_origin;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn flags(words: &[&str]) -> Settings {
        Line::try_parse_from([&["bridge"], words].concat()).map(|line| line.settings).unwrap()
    }

    fn file(text: &str) -> Result<Settings, Failure> {
        Settings::parse(text, Path::new("bridge.toml"))
    }

    #[test]
    fn every_flag_is_a_name_of_the_file() {
        let command = <Line as clap::CommandFactory>::command();
        let strings = ["text", "10s", "a"];
        for argument in command.get_arguments().filter_map(|argument| argument.get_long()) {
            if ["config", "help", "version"].contains(&argument) {
                continue;
            }
            let forms = ["true", "7", "[\"a\"]", "\"127.0.0.1:1\"", "\"info\""]
                .map(str::to_owned)
                .into_iter()
                .chain(strings.map(|text| format!("\"{text}\"")));
            let known = forms.into_iter().any(|form| file(&format!("{argument} = {form}")).is_ok());
            assert!(known, "{argument}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let text = "listen = \"127.0.0.1:1\"\nidle = \"5m\"\nmax-buffered = \"2GiB\"\n\
                    max-frame = 70000\nallow-origin = [\"https://a\"]\nallow-no-origin = true\n\
                    [deployments.orders]\nuri = \"mongodb://a\"\nallow-target = [\"b:1\"]\n";
        let settings = flags(&["--idle", "10s", "--max-streams", "9"]).over(file(text).unwrap());
        assert_eq!(settings.listen, Some(([127, 0, 0, 1], 1).into()));
        assert_eq!(settings.idle, Some(Time(Duration::from_secs(10))));
        assert_eq!(settings.max_streams, Some(9));
        assert_eq!(settings.max_buffered, Some(Size(2 << 30)));
        assert_eq!(settings.max_frame, Some(Size(70_000)));
        assert_eq!(settings.allow_origin, ["https://a"]);
        assert!(settings.allow_no_origin);
        assert_eq!(settings.deployments["orders"].allow_target, ["b:1"]);
    }

    #[test]
    fn what_is_wrong_in_the_file_is_said_with_its_line_and_no_password() {
        for (text, line, said) in [
            ("\n\nmax-sokets = 1", 3, "max-sokets"),
            ("idle = \"soon\"", 1, "write a number and ms, s, m or h"),
            ("max-buffered = \"1GB\"", 1, "KiB, MiB or GiB"),
            ("listen = 5", 1, "invalid type"),
            ("a = [", 1, ""),
            ("\n[deployments.a]\nurl = \"b\"", 3, "url"),
            ("max-sockets = \"mongodb://ann:s%40cret@h\"", 1, "mongodb://"),
        ] {
            let Err(Failure::Usage(error)) = file(text) else { panic!("{text}") };
            assert!(error.starts_with(&format!("bridge.toml:{line}: ")), "{error}");
            assert!(error.contains(said) && !error.contains("cret"), "{error}");
        }
    }
}
