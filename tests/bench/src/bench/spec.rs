//! The specification's benchmark suite, as far as there are operations for it: single-document and
//! multi-document. Its BSON cases measure a library that both drivers share; GridFS, parallel and
//! bulk-write cases wait for their operations.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::rounds;
use crate::orders::{Answer, Order};
use crate::peer::worker::Worker;
use crate::peer::{Failure, Peer};
use crate::setting::Server;
use crate::table::{Table, fixed, median};

const PEERS: [Peer; 3] = [Peer::Tokio, Peer::AsyncStd, Peer::Official];
const TWEETS: &str = "tweets";

struct Case {
    name: &'static str,
    order: Order,
    /// Bytes of data that the suite counts for it.
    bytes: usize,
}

pub fn run() -> Result<(), Failure> {
    let Some(archive) = archive() else {
        println!(
            "the drivers' specifications are not here: cargo xtask setup --specifications \
             brings them, or name them in MONGODB_SPECIFICATIONS\n"
        );
        return Ok(());
    };
    let (tweet, small, large) = (
        file(&archive, "tweet.json")?,
        file(&archive, "small_doc.json")?,
        file(&archive, "large_doc.json")?,
    );
    let mut server = Server::start()?;
    server.fill(TWEETS, &serde_json::from_str(&tweet)?, 10_000)?;
    let uri = server.uri.clone();
    let mut workers =
        PEERS.iter().map(|peer| Worker::start(*peer, &uri)).collect::<Result<Vec<_>, Failure>>()?;
    let mut table =
        Table::new(["case", "tokio MB/s", "async-std MB/s", "official MB/s", "tokio", "async-std"]);
    for case in cases(&tweet, &small, &large) {
        let mut runs: Vec<Vec<Answer>> = vec![Vec::new(); workers.len()];
        for round in 0..=rounds() {
            for (worker, runs) in workers.iter_mut().zip(&mut runs) {
                server.empty_inserted()?;
                let answer = worker.run(&case.order)?;
                if round > 0 {
                    runs.push(answer);
                }
            }
        }
        table.row(figures(&case, &runs));
    }
    table.print();
    println!("The last two columns: Portolan's speed as a ratio to the official driver's.\n");
    Ok(())
}

fn figures(case: &Case, runs: &[Vec<Answer>]) -> Vec<String> {
    let speed = |answer: &Answer| case.bytes as f64 / 1e6 / (answer.nanos as f64 / 1e9);
    let ratio = |peer: usize| {
        median(runs[peer].iter().zip(&runs[2]).map(|(one, other)| speed(one) / speed(other)))
    };
    let mut cells = vec![case.name.to_owned()];
    cells.extend(runs.iter().map(|runs| fixed(median(runs.iter().map(speed)), 2)));
    cells.extend([fixed(ratio(0), 2), fixed(ratio(1), 2)]);
    cells
}

fn cases(tweet: &str, small: &str, large: &str) -> [Case; 7] {
    let insert =
        |json: &str, times, at_once| Order::InsertFile { json: json.to_owned(), times, at_once };
    [
        Case { name: "Run command", order: Order::Hello { times: 10_000 }, bytes: 130_000 },
        Case {
            name: "Find one by ID",
            order: Order::FindById { collection: TWEETS.to_owned(), times: 10_000 },
            bytes: tweet.len() * 10_000,
        },
        Case {
            name: "Small doc insertOne",
            order: insert(small, 10_000, false),
            bytes: small.len() * 10_000,
        },
        Case {
            name: "Large doc insertOne",
            order: insert(large, 10, false),
            bytes: large.len() * 10,
        },
        Case {
            name: "Find many and empty the cursor",
            order: Order::FindAll { collection: TWEETS.to_owned() },
            bytes: tweet.len() * 10_000,
        },
        Case {
            name: "Small doc bulk insert",
            order: insert(small, 10_000, true),
            bytes: small.len() * 10_000,
        },
        Case {
            name: "Large doc bulk insert",
            order: insert(large, 10, true),
            bytes: large.len() * 10,
        },
    ]
}

/// `$MONGODB_SPECIFICATIONS`, else beside the workspace, else in the cache.
fn archive() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/specifications");
    let given = std::env::var_os("MONGODB_SPECIFICATIONS").map(PathBuf::from);
    let cached = portolan_support::cache_dir().join("specifications");
    let data = "source/benchmarking/data/single_and_multi_document.tgz";
    let places = given.into_iter().chain([beside, cached]);
    places.map(|place| place.join(data)).find(|path| path.is_file())
}

fn file(archive: &Path, name: &str) -> Result<String, Failure> {
    let name = format!("single_and_multi_document/{name}");
    let output = Command::new("tar").arg("-xzOf").arg(archive).arg(&name).output()?;
    if !output.status.success() {
        return Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
