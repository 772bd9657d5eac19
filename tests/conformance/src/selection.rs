//! Server selection: logic, latency window, round-trip times, max staleness.
//!
//! Formats: the README files of server-selection/tests and max-staleness/tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, DateTime, Document};
use portolan::engine::address::ServerAddress;
use portolan::engine::hello::HelloReply;
use portolan::engine::rng::Rng;
use portolan::engine::sdam::{
    RttAverage, ServerDescription, ServerType, TopologyDescription, TopologyType,
};
use portolan::engine::selection::{
    Criteria, OperationKind, ReadPreference, ReadPreferenceMode, select, suitable, window,
};
use portolan::engine::time::Instant;

use crate::json::{address, documents, integer, number, same, strings, text};

/// Which servers are suitable, and which of them are in the latency window.
pub(crate) fn logic(test: &Document) -> Result<(), String> {
    let topology = topology(test)?;
    let preference = read_preference(test)?;
    let deprioritized = addresses(&documents(test, "deprioritized_servers"))?;
    let mut criteria = Criteria { deprioritized: &deprioritized, ..Criteria::read(&preference) };
    if test.get_str("operation").ok() == Some("write") {
        criteria.operation = OperationKind::Write;
    }
    if let Some(millis) = integer(test, "heartbeatFrequencyMS") {
        criteria.heartbeat_frequency = Duration::from_millis(millis.unsigned_abs());
    }
    let (all, near) = (suitable(&topology, &criteria), window(&topology, &criteria));
    if test.get_bool("error").ok() == Some(true) {
        return match near {
            Ok(servers) => Err(format!("expected an error, got {:?}", names(&servers))),
            Err(_) => Ok(()),
        };
    }
    let (all, near) = (all.map_err(|e| e.to_string())?, near.map_err(|e| e.to_string())?);
    let expected = |field| -> Result<Vec<String>, String> {
        let mut names: Vec<_> =
            addresses(&documents(test, field))?.iter().map(ToString::to_string).collect();
        names.sort();
        Ok(names)
    };
    same("suitable_servers", &expected("suitable_servers")?, &names(&all))?;
    same("in_latency_window", &expected("in_latency_window")?, &names(&near))?;
    let chosen = select(&topology, &criteria, |_| 0, &mut Rng::seeded(1));
    let chosen = chosen.map_err(|error| error.to_string())?.map(|server| server.address.clone());
    let allowed = match &chosen {
        Some(address) => near.iter().any(|server| server.address == *address),
        None => near.is_empty(),
    };
    if allowed { Ok(()) } else { Err(format!("select chose {chosen:?}, not one of the window")) }
}

/// How often each server of the window is chosen.
pub(crate) fn in_window(test: &Document) -> Result<(), String> {
    let topology = topology(test)?;
    let mut counts = BTreeMap::new();
    for state in documents(test, "mocked_topology_state") {
        let count = integer(state, "operation_count").ok_or("operation_count is missing")?;
        counts.insert(address(text(state, "address")?)?, count as usize);
    }
    let iterations = integer(test, "iterations").ok_or("iterations is missing")?;
    let outcome = test.get_document("outcome").map_err(|error| error.to_string())?;
    let frequencies = outcome.get_document("expected_frequencies").map_err(|e| e.to_string())?;
    let tolerance = number(outcome, "tolerance").ok_or("tolerance is missing")?;
    // Several sequences, so that a lucky one proves nothing.
    for seed in 0..5 {
        let chosen = draw(&topology, &counts, iterations, seed)?;
        for name in frequencies.keys() {
            let expected = number(frequencies, name).ok_or("a frequency is no number")?;
            let times = chosen.get(&address(name)?).copied().unwrap_or_default();
            let observed = times as f64 / iterations as f64;
            let exact = expected == 0.0 || expected == 1.0;
            if (observed - expected).abs() > if exact { 0.0 } else { tolerance } {
                return Err(format!(
                    "{name} was chosen with frequency {observed} (seed {seed}), expected {expected}"
                ));
            }
        }
    }
    Ok(())
}

fn draw(
    topology: &TopologyDescription,
    counts: &BTreeMap<ServerAddress, usize>,
    iterations: i64,
    seed: u64,
) -> Result<BTreeMap<ServerAddress, u32>, String> {
    let nearest = ReadPreference::nearest();
    let criteria = Criteria::read(&nearest);
    let mut rng = Rng::seeded(seed);
    let mut chosen = BTreeMap::new();
    for _ in 0..iterations {
        let count = |address: &ServerAddress| counts.get(address).copied().unwrap_or_default();
        let server = select(topology, &criteria, count, &mut rng).map_err(|e| e.to_string())?;
        let server = server.ok_or("no server is suitable")?;
        *chosen.entry(server.address.clone()).or_default() += 1;
    }
    Ok(chosen)
}

/// The weighted average of round-trip times.
pub(crate) fn rtt(test: &Document) -> Result<(), String> {
    let millis = |field| number(test, field).map(|millis| Duration::from_secs_f64(millis / 1e3));
    let mut rtt = match test.get("avg_rtt_ms") {
        Some(Bson::String(null)) if null == "NULL" => RttAverage::new(),
        _ => RttAverage::with_average(millis("avg_rtt_ms").ok_or("avg_rtt_ms is missing")?),
    };
    rtt.add(Instant::ZERO, millis("new_rtt_ms").ok_or("new_rtt_ms is missing")?);
    let expected = millis("new_avg_rtt").ok_or("new_avg_rtt is missing")?;
    let actual = rtt.average().ok_or("there is no average after a sample")?;
    if expected.abs_diff(actual) <= Duration::from_nanos(10) {
        return Ok(());
    }
    Err(format!("new_avg_rtt: expected {expected:?}, got {actual:?}"))
}

fn topology(test: &Document) -> Result<TopologyDescription, String> {
    let description =
        test.get_document("topology_description").map_err(|error| error.to_string())?;
    let name = text(description, "type")?;
    let topology_type = TopologyType::ALL.into_iter().find(|kind| kind.as_str() == name);
    let mut topology = TopologyDescription::empty();
    topology.topology_type = topology_type.ok_or_else(|| format!("no topology type {name}"))?;
    for server in documents(description, "servers") {
        let server = self::server(server)?;
        topology.servers.insert(server.address.clone(), Arc::new(server));
    }
    Ok(topology)
}

fn server(document: &Document) -> Result<ServerDescription, String> {
    let mut server = ServerDescription::unknown(address(text(document, "address")?)?);
    let name = text(document, "type")?;
    let server_type = ServerType::ALL.into_iter().find(|kind| kind.as_str() == name);
    server.server_type = server_type.ok_or_else(|| format!("no server type {name}"))?;
    server.round_trip_time =
        number(document, "avg_rtt_ms").map(|millis| Duration::from_secs_f64(millis / 1e3));
    server.last_update_time = integer(document, "lastUpdateTime")
        .map(|millis| Instant::from_millis(millis.unsigned_abs()));
    let last_write = document.get_document("lastWrite").ok();
    let last_write = last_write.and_then(|last_write| integer(last_write, "lastWriteDate"));
    server.reply = Arc::new(HelloReply {
        last_write_date: last_write.map(DateTime::from_millis),
        tags: document.get_document("tags").map(strings).unwrap_or_default(),
        ..HelloReply::default()
    });
    Ok(server)
}

/// The tests capitalise modes: `PrimaryPreferred`.
fn read_preference(test: &Document) -> Result<ReadPreference, String> {
    let Ok(document) = test.get_document("read_preference") else {
        return Ok(ReadPreference::PRIMARY);
    };
    let name = document.get_str("mode").unwrap_or("Primary");
    let mode = ReadPreferenceMode::ALL.into_iter().find(|m| m.as_str().eq_ignore_ascii_case(name));
    let max_staleness = integer(document, "maxStalenessSeconds").filter(|seconds| *seconds != -1);
    Ok(ReadPreference {
        mode: mode.ok_or_else(|| format!("no mode {name}"))?,
        tag_sets: documents(document, "tag_sets").into_iter().map(strings).collect(),
        max_staleness: max_staleness.map(|seconds| Duration::from_secs(seconds.unsigned_abs())),
        hedge: None,
    })
}

fn addresses(servers: &[&Document]) -> Result<Vec<ServerAddress>, String> {
    servers.iter().map(|server| address(text(server, "address")?)).collect()
}

fn names(servers: &[&Arc<ServerDescription>]) -> Vec<String> {
    servers.iter().map(|server| server.address.to_string()).collect()
}
