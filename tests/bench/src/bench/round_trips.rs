//! From nothing to the first result, counted in round trips.
//!
//! Every client reaches its deployment through a proxy that carries bytes 50 ms later, each way. A
//! connection through it is open at once, where one over such a distance would be open after a
//! round trip: the proxy holds the first bytes of each back for so long. The time to the result of
//! the first `ping`, over the round trip, is the count.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bson::doc;
use portolan::options::{ClientOptions, TopologySnapshot};
use portolan_support::{MemberOptions, ReplicaSet, ReplicaSetOptions, Standalone};
use portolan_tokio::Tokio;

use super::rounds;
use crate::peer::Failure;
use crate::runtime::Runtime;
use crate::setting::binary;
use crate::table::{Table, at_most, fixed, median};

/// From one end to the other.
pub(super) const WAY: Duration = Duration::from_millis(50);

/// The most round trips that are wanted, without authentication and with SCRAM.
const TARGETS: [f64; 3] = [3.3, 3.3, 4.3];

pub fn run() -> Result<(), Failure> {
    let lone = Standalone::start(&binary()?)?;
    let set = ReplicaSet::start(ReplicaSetOptions::new(binary()?, 1))?;
    let guarded = MemberOptions { access_control: true, ..MemberOptions::default() };
    let guarded = Standalone::start_with(&binary()?, guarded)?;
    guarded.connect(Duration::from_secs(30))?.run(&doc! {
        "createUser": "ann", "pwd": "secret", "roles": ["root"], "mechanisms": ["SCRAM-SHA-256"],
    })?;
    let (to_lone, to_set) = (proxy(lone.address())?, proxy(set.member(0).address())?);
    let to_guarded = proxy(guarded.address())?;
    // The member is known by the name that leads through the proxy.
    let name = to_set.to_string();
    set.reconfig(move |config| {
        if let Ok(members) = config.get_array_mut("members")
            && let Some(member) = members.first_mut().and_then(|member| member.as_document_mut())
        {
            member.insert("host", &name);
        }
    })?;
    set.wait_for_primary(Duration::from_secs(60))?;
    let uris = [
        format!("mongodb://{to_lone}/"),
        format!("mongodb://{to_set}/?replicaSet={}", set.name()),
        format!("mongodb://ann:secret@{to_guarded}/"),
    ];
    let mut table = Table::new(["client", "standalone", "replica set", "standalone, SCRAM"]);
    let runtime = Runtime::tokio()?;
    for way in [Way::Background, Way::OnDemand, Way::Official] {
        for remembers in [false, true] {
            if way == Way::Official && (remembers || !cfg!(feature = "official")) {
                continue;
            }
            let mut cells = vec![way.name(remembers)];
            for (uri, target) in uris.iter().zip(TARGETS) {
                let trips = measure(&runtime, uri, way, remembers)?;
                cells.push(match way {
                    Way::Official => fixed(trips, 2),
                    _ => at_most(trips, target),
                });
            }
            table.row(cells);
        }
    }
    table.print();
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Background,
    OnDemand,
    Official,
}

impl Way {
    fn name(self, remembers: bool) -> String {
        let name = match self {
            Self::Background => "portolan-tokio, background",
            Self::OnDemand => "portolan-tokio, on demand",
            Self::Official => "official",
        };
        format!("{name}{}", if remembers { ", from a snapshot" } else { "" })
    }
}

/// The median of round trips to the first result.
fn measure(runtime: &Runtime, uri: &str, way: Way, remembers: bool) -> Result<f64, Failure> {
    let snapshot = match remembers {
        true => Some(runtime.block_on(learn(uri))?),
        false => None,
    };
    let mut counts = Vec::new();
    for _ in 0..rounds() {
        let began = Instant::now();
        match way {
            Way::Official => runtime.block_on(official(uri))?,
            _ => runtime.block_on(ours(uri, way, snapshot.clone()))?,
        }
        counts.push(began.elapsed().as_secs_f64() / (2 * WAY).as_secs_f64());
    }
    Ok(median(counts))
}

#[cfg(not(feature = "official"))]
async fn official(_: &str) -> Result<(), Failure> {
    Err("this program was built without the official driver".into())
}

#[cfg(feature = "official")]
async fn official(uri: &str) -> Result<(), Failure> {
    let client = mongodb::Client::with_uri_str(uri).await?;
    client.database("admin").run_command(doc! { "ping": 1 }).await?;
    Ok(())
}

async fn ours(uri: &str, way: Way, snapshot: Option<TopologySnapshot>) -> Result<(), Failure> {
    let mut options = ClientOptions::parse(uri)?;
    options.snapshot = snapshot;
    let client = match way {
        Way::OnDemand => portolan_tokio::connect_on_demand(options).await?,
        _ => portolan_tokio::connect_with(options).await?,
    };
    client.database("admin").run_command(doc! { "ping": 1 }).await?;
    Ok(())
}

/// What a client knows once it has looked around.
async fn learn(uri: &str) -> Result<TopologySnapshot, Failure> {
    let client = portolan::Client::on_demand(ClientOptions::parse(uri)?, Arc::new(Tokio::new()))?;
    client.database("admin").run_command(doc! { "ping": 1 }).await?;
    Ok(client.description().snapshot())
}

/// A proxy to `server` for as long as the process lives.
pub(super) fn proxy(server: SocketAddr) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let open = Instant::now() + 2 * WAY;
            let Ok(upstream) = TcpStream::connect(server) else { continue };
            let (Ok(from_client), Ok(to_server)) = (client.try_clone(), upstream.try_clone())
            else {
                continue;
            };
            carry(from_client, to_server, open);
            carry(upstream, client, open);
        }
    });
    Ok(address)
}

/// Carries what comes from one end to the other, [`WAY`] later and not before `open`.
fn carry(mut from: TcpStream, mut to: TcpStream, open: Instant) {
    let _ = (from.set_nodelay(true), to.set_nodelay(true));
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let due = Instant::now().max(open) + WAY;
            if sender.send((due, buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        while let Ok((due, bytes)) = receiver.recv() {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
