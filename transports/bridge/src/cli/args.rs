//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args as ClapArgs, Parser, Subcommand};

use super::settings::Settings;

/// A MongoDB driver's view of a deployment, and a bridge that gives it to browsers.
#[derive(Parser)]
#[command(name = "portolan", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  portolan watch mongodb://127.0.0.1:27017/?replicaSet=rs0
  portolan watch --json --for 10s mongodb://db0,db1,db2 | jq .kind
  portolan watch --json --trace today.jsonl mongodb://db0,db1,db2
  portolan replay --json today.jsonl
  portolan explain --read-preference secondary mongodb://db0,db1,db2
  portolan ping --read-preference nearest mongodb://db0,db1,db2
  portolan bridge --uri mongodb://db0,db1,db2 --allow-origin https://app.example
  portolan bridge --config bridge.toml
  portolan demo

Results go to standard output, errors to standard error.
Exit status: 0 done, 1 the operation failed, 2 bad usage.
MONGODB_LOG_ALL=debug (or _TOPOLOGY, _SERVER_SELECTION, _CONNECTION, _COMMAND) writes the driver's
log to standard error; MONGODB_LOG_PATH to a file (not of `bridge`, which has one log).";

const BRIDGE_EXAMPLES: &str = "\
Endpoints: /tunnel[/NAME], /tcp/HOST:PORT[/NAME], /config.json, /healthz, /readyz, /metrics.
A client sends its token as `Authorization: Bearer TOKEN`, a browser as one more WebSocket
subprotocol, portolan.token.TOKEN.

A file for --config:
  listen = \"0.0.0.0:8443\"
  tls-certificate-file = \"/etc/portolan/fullchain.pem\"
  tls-key-file = \"/etc/portolan/key.pem\"
  allow-host = [\"bridge.example\"]
  allow-origin = [\"https://app.example\"]
  jwt-audience = \"portolan\"
  jwt-eddsa-key-file = [\"/etc/portolan/issuer.pem\"]
  idle = \"2m\"
  [deployments.orders]
  uri-file = \"/etc/portolan/orders.uri\"

Threat model and running many: transports/bridge/README.md.";

#[derive(Subcommand)]
pub(crate) enum Command {
    Watch(WatchArgs),
    Replay(ReplayArgs),
    Explain(ExplainArgs),
    Ping(PingArgs),
    #[command(after_help = BRIDGE_EXAMPLES)]
    Bridge(Box<Settings>),
    Demo(DemoArgs),
}

/// Print what happens to a deployment, each event as it happens.
#[derive(Debug, ClapArgs)]
pub(crate) struct WatchArgs {
    /// The connection string, mongodb://...
    #[arg(value_name = "URI")]
    pub(crate) uri: String,

    /// One JSON object a line instead of a sentence.
    #[arg(long)]
    pub(crate) json: bool,

    /// Stop after this time, such as 500ms, 10s, 5m or 1h; without it, at Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) limit: Option<Duration>,

    /// Also record everything that the client is told, for `portolan replay`.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
}

/// Run a recording of `watch --trace` again, and print the same events.
#[derive(Debug, ClapArgs)]
pub(crate) struct ReplayArgs {
    /// The recording; - for standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// One JSON object a line instead of a sentence.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say of each server why it would or would not be chosen.
#[derive(Debug, ClapArgs)]
pub(crate) struct ExplainArgs {
    /// The connection string, mongodb://...
    #[arg(value_name = "URI")]
    pub(crate) uri: String,

    /// Which members may serve.
    #[arg(long, value_name = "MODE", default_value = "primary", value_parser = modes())]
    pub(crate) read_preference: String,

    /// One JSON object instead of sentences.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Send one ping, and print who answered, what it is and how long it took.
#[derive(Debug, ClapArgs)]
pub(crate) struct PingArgs {
    /// The connection string, mongodb://...
    #[arg(value_name = "URI")]
    pub(crate) uri: String,

    /// Which member to ask.
    #[arg(long, value_name = "MODE", default_value = "primary", value_parser = modes())]
    pub(crate) read_preference: String,
}

/// Start a replica set, the bridge and its dashboard, and print the address to open.
#[derive(Debug, ClapArgs)]
pub(crate) struct DemoArgs {
    /// How many members the replica set has.
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) members: u8,

    /// The mongod to start; without it $PORTOLAN_MONGOD, that of `cargo xtask setup`, or PATH.
    #[arg(long, value_name = "PATH")]
    pub(crate) mongod: Option<PathBuf>,

    /// Simulate the replica set. So it does by itself where no mongod is found.
    #[arg(long, conflicts_with = "mongod")]
    pub(crate) simulated: bool,

    /// The port of the page; 0 takes any free one.
    #[arg(long, value_name = "PORT", default_value_t = 8017)]
    pub(crate) port: u16,

    #[command(flatten)]
    pub(crate) pages: PagesArgs,
}

/// Which pages are served and trusted.
#[derive(Debug, ClapArgs)]
pub(crate) struct PagesArgs {
    /// Trust pages of this origin, such as https://app.example, besides the bridge's own;
    /// repeatable.
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    pub(crate) allow_origins: Vec<String>,

    /// The folder of the dashboard to serve; `cargo xtask web` builds one.
    #[arg(long, value_name = "DIR")]
    pub(crate) dashboard: Option<PathBuf>,
}

fn modes() -> PossibleValuesParser {
    use portolan::engine::selection::ReadPreferenceMode;
    PossibleValuesParser::new(ReadPreferenceMode::ALL.map(ReadPreferenceMode::as_str))
}

/// A number and its unit: ms, s, m or h.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let millis = match &text[digits.len()..] {
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 60e3,
        "h" => 3600e3,
        _ => return Err("write a number and ms, s, m or h, such as 10s".to_owned()),
    };
    match digits.parse::<f64>() {
        Ok(count) if count > 0.0 && count <= 1e9 => {
            Ok(Duration::from_secs_f64(count * millis / 1e3))
        }
        _ => Err(format!("\"{digits}\" is not a number above 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        <Args as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn durations_want_a_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for bad in ["10", "s", "-1s", "1d", "", "0s", "1e99s", "NaNs", "infs", "1 s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn defaults_and_choices_are_read() {
        let args = Args::try_parse_from(["portolan", "watch", "mongodb://a", "--for", "2s"]);
        assert!(matches!(args.unwrap().command, Command::Watch(args) if args.limit.is_some()));
        for bad in [
            &["portolan"][..],
            &["portolan", "ping"],
            &["portolan", "ping", "mongodb://a", "--read-preference", "first"],
            &["portolan", "bridge", "--uri", "mongodb://a", "--listen", "8080"],
            &["portolan", "demo", "--members", "0"],
        ] {
            let error = Args::try_parse_from(bad).err().unwrap();
            assert_eq!(error.exit_code(), 2, "{bad:?}");
        }
    }
}
