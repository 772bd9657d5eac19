//! A client under test: how it is made, and what it was heard to say.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bson::{Bson, Document};
use futures_util::{FutureExt, StreamExt};
use portolan::event::{CommandEvent, CommandEventKind, Events, PoolEvent, PoolEventKind};
use portolan::options::{ServerApi, ServerApiVersion};
use portolan::{Client, ClientOptions, Topology};
use portolan_async_std::AsyncStd;

use crate::deployment::Deployment;
use crate::events::{Observed, is_known};
use crate::logs;
use crate::schema::ClientEntity;

/// A client, and what was heard of it.
pub(crate) struct TestClient {
    pub(crate) client: Client,
    topology_id: String,
    entity: ClientEntity,
    heard: Mutex<Heard>,
}

struct Heard {
    commands: Events<CommandEvent>,
    pools: Events<PoolEvent>,
    topology: Topology,
    observed: Vec<Observed>,
    checked_out: i64,
    /// Connections that became ready, server by server.
    ready: Vec<(String, u64)>,
}

/// Commands that carry secrets, and the runner's own.
const IGNORED_COMMANDS: [&str; 1] = ["configureFailPoint"];
const SENSITIVE: [&str; 9] = [
    "authenticate",
    "saslStart",
    "saslContinue",
    "getnonce",
    "createUser",
    "updateUser",
    "copydbgetnonce",
    "copydbsaslstart",
    "copydb",
];

impl TestClient {
    pub(crate) async fn new(
        entity: ClientEntity,
        deployment: &Deployment,
    ) -> Result<Arc<Self>, String> {
        if let Some(unknown) = entity.observe_events.iter().find(|name| !is_known(name)) {
            return Err(format!("{unknown} is no event that this runner knows"));
        }
        let uri = uri(deployment, &entity)?;
        let mut options = ClientOptions::parse(&uri).map_err(|error| format!("{uri}: {error}"))?;
        if let Some(warning) = options.warnings.first() {
            return Err(format!("{uri}: {warning}"));
        }
        options.server_api = entity.server_api.as_ref().map(server_api).transpose()?;
        // "set to a value large enough": documents in messages must be whole.
        options.log_max_document_length = Some(usize::MAX);
        let (client, driver) =
            Client::new(options, Arc::new(AsyncStd::new())).map_err(|error| error.to_string())?;
        let heard = Heard {
            commands: client.command_events(),
            pools: client.pool_events(),
            topology: client.topology(),
            observed: Vec::new(),
            checked_out: 0,
            ready: Vec::new(),
        };
        let topology_id = client.topology_id().0.to_hex();
        if !entity.observe_log_messages.is_empty() {
            logs::watch(&topology_id);
        }
        async_std::task::spawn(driver);
        let client = Self { client, topology_id, entity, heard: Mutex::new(heard) };
        client.await_min_pool_size().await?;
        Ok(Arc::new(client))
    }

    /// `awaitMinPoolSizeMS`: what happened until then does not count.
    async fn await_min_pool_size(&self) -> Result<(), String> {
        let wanted = u64::from(self.client.options().min_pool_size);
        let Some(limit) = self.entity.await_min_pool_size_ms.filter(|_| wanted > 0) else {
            return Ok(());
        };
        let deadline = Instant::now() + Duration::from_millis(limit);
        while !self.is_filled(wanted)? {
            if Instant::now() > deadline {
                return Err("minPoolSize was not reached in awaitMinPoolSizeMS".to_owned());
            }
            async_std::task::sleep(POLL).await;
        }
        self.hear()?.observed.clear();
        if !self.entity.observe_log_messages.is_empty() {
            logs::watch(&self.topology_id);
        }
        Ok(())
    }

    /// Whether every data-bearing server's pool has had so many connections.
    fn is_filled(&self, wanted: u64) -> Result<bool, String> {
        let heard = self.hear()?;
        let topology = self.client.topology().description();
        let filled = |name: String| {
            heard.ready.iter().any(|(address, ready)| *address == name && *ready >= wanted)
        };
        let mut bearing =
            topology.servers.values().filter(|s| s.server_type.is_data_bearing()).peekable();
        Ok(bearing.peek().is_some() && bearing.all(|server| filled(server.address.to_string())))
    }

    /// All events so far that the test wants to see, in their order.
    pub(crate) fn observed(&self) -> Result<Vec<Observed>, String> {
        Ok(self.hear()?.observed.clone())
    }

    /// Connections that are checked out.
    pub(crate) fn checked_out(&self) -> Result<i64, String> {
        Ok(self.hear()?.checked_out)
    }

    /// The log messages that the test wants to see.
    pub(crate) fn messages(&self) -> Vec<logs::Message> {
        let wanted = |message: &logs::Message| {
            let least = self.entity.observe_log_messages.get(&message.component);
            let least = least.and_then(|level| logs::severity(level));
            least.zip(logs::severity(message.level)).is_some_and(|(least, level)| level <= least)
        };
        let mut messages = logs::messages(&self.topology_id);
        messages.retain(wanted);
        messages
    }

    fn hear(&self) -> Result<std::sync::MutexGuard<'_, Heard>, String> {
        let mut heard = self.heard.lock().map_err(|error| error.to_string())?;
        while let Some(Some(event)) = heard.commands.next().now_or_never() {
            if self.wants_command(&event) {
                self.keep(&mut heard, Observed::command(&event)?);
            }
        }
        while let Some(Some(event)) = heard.pools.next().now_or_never() {
            match &event.kind {
                PoolEventKind::ConnectionCheckedOut { .. } => heard.checked_out += 1,
                PoolEventKind::ConnectionCheckedIn { .. } => heard.checked_out -= 1,
                PoolEventKind::ConnectionReady { .. } => count(&mut heard.ready, &event),
                _ => {}
            }
            self.keep(&mut heard, Observed::pool(&event));
        }
        while let Some(Some(event)) = heard.topology.next().now_or_never() {
            self.keep(&mut heard, Observed::topology(&event));
        }
        Ok(heard)
    }

    fn keep(&self, heard: &mut Heard, event: Observed) {
        if self.entity.observe_events.contains(&event.name) {
            heard.observed.push(event);
        }
    }

    fn wants_command(&self, event: &CommandEvent) -> bool {
        let name = &event.command_name;
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        if IGNORED_COMMANDS.iter().any(is)
            || self.entity.ignore_command_monitoring_events.contains(name)
        {
            return false;
        }
        // A hello is sensitive where it was redacted.
        let hello = name.eq_ignore_ascii_case("hello") || name.eq_ignore_ascii_case("ismaster");
        let redacted = match &event.kind {
            CommandEventKind::CommandStarted { command: document }
            | CommandEventKind::CommandSucceeded { reply: document, .. } => document.is_empty(),
            CommandEventKind::CommandFailed { .. } => false,
        };
        let sensitive = SENSITIVE.iter().any(is) || (hello && redacted);
        !sensitive || self.entity.observe_sensitive_commands
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        logs::forget(&self.topology_id);
    }
}

/// "serverApi" of a client.
fn server_api(document: &Document) -> Result<ServerApi, String> {
    let version = document.get_str("version").map_err(|error| error.to_string())?;
    let mut api = ServerApi::from(version.parse::<ServerApiVersion>()?);
    for (name, value) in document {
        match (name.as_str(), value) {
            ("version", _) => {}
            ("strict", Bson::Boolean(strict)) => api.strict = Some(*strict),
            ("deprecationErrors", Bson::Boolean(errors)) => api.deprecation_errors = Some(*errors),
            (name, value) => return Err(format!("serverApi.{name}: {value}")),
        }
    }
    Ok(api)
}

fn count(ready: &mut Vec<(String, u64)>, event: &PoolEvent) {
    let address = event.address.to_string();
    match ready.iter_mut().find(|(known, _)| *known == address) {
        Some((_, count)) => *count += 1,
        None => ready.push((address, 1)),
    }
}

/// How often the runner looks whether something has happened.
pub(crate) const POLL: Duration = Duration::from_millis(5);

/// A fail point that is set while an awaited hello is under way is felt by the one after it: that
/// must come within the ten seconds of `waitForEvent`.
const HEARTBEAT: &str = "heartbeatFrequencyMS=5000";

/// A fail point's "not primary" makes a server unknown until its next heartbeat, which nothing
/// brings forward: where no test looks at heartbeats, they come as often as they may ("to speed up
/// SDAM recovery time", unified-test-format).
const QUICK_HEARTBEAT: &str = "heartbeatFrequencyMS=500";

fn is_of_commands(event: &str) -> bool {
    event.starts_with("command")
}

/// The deployment's connection string with the test's options.
fn uri(deployment: &Deployment, entity: &ClientEntity) -> Result<String, String> {
    let (several, options) = (entity.use_multiple_mongoses == Some(true), &entity.uri_options);
    let watched = entity.observe_events.iter().any(|name| !is_of_commands(name))
        || entity.observe_log_messages.keys().any(|component| component != "command");
    let (mut seeds, set_name) = deployment.seeds();
    let direct = options.get_bool("directConnection").unwrap_or(false);
    let mut query = Vec::new();
    if let Some(balancer) = deployment.balancer(several) {
        seeds = vec![balancer];
        if !options.contains_key("loadBalanced") {
            query.push("loadBalanced=true".to_owned());
        }
    } else if direct {
        seeds.truncate(1);
    } else if let Some(name) = set_name
        && !options.contains_key("replicaSet")
    {
        query.push(format!("replicaSet={name}"));
    }
    if !options.contains_key("heartbeatFrequencyMS") {
        query.push(if watched { HEARTBEAT } else { QUICK_HEARTBEAT }.to_owned());
    }
    for (name, value) in options {
        match value {
            Bson::Array(sets) if name == "readPreferenceTags" => {
                for set in sets.iter().filter_map(Bson::as_str) {
                    query.push(format!("{name}={}", escaped(set)));
                }
            }
            Bson::String(text) => query.push(format!("{name}={}", escaped(text))),
            Bson::Boolean(_) | Bson::Int32(_) | Bson::Int64(_) => {
                query.push(format!("{name}={value}"));
            }
            other => return Err(format!("uriOptions.{name}: {other} is no option's value")),
        }
    }
    let user = match deployment.user() {
        Some((name, password)) => {
            query.push("authSource=admin".to_owned());
            format!("{name}:{password}@")
        }
        None => String::new(),
    };
    Ok(format!("mongodb://{user}{}/?{}", seeds.join(","), query.join("&")))
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b',' | b':' => {
                escaped.push(char::from(byte));
            }
            other => {
                let _ = write!(escaped, "%{other:02X}");
            }
        }
    }
    escaped
}
