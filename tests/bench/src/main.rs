//! Measures Portolan beside its peers: the official driver, and loops over raw sockets.
//!
//! `cargo xtask bench [NAME…]` in the workspace, or `cargo run --release -- [NAME…]` here. Every
//! table says what it measured and against what; every ratio is of figures of the same run.

mod bench;
mod counting;
mod orders;
mod peer;
mod runtime;
mod setting;
mod table;
mod usage;

use std::process::ExitCode;

use bench::BENCHES;
use peer::{Failure, Peer, worker};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match names[..] {
        [worker::WORKER, peer] => be_worker(peer, false),
        [worker::WORKER, peer, worker::COUNTING] => be_worker(peer, true),
        ["--list" | "--help" | "-h" | "help"] => {
            println!("{}", help());
            return ExitCode::SUCCESS;
        }
        _ => {
            if let Some(unknown) =
                names.iter().find(|name| BENCHES.iter().all(|b| b.name != **name))
            {
                eprintln!("there is no benchmark {unknown}\n\n{}", help());
                return ExitCode::from(2);
            }
            run(&names)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn be_worker(peer: &str, counted: bool) -> Result<(), Failure> {
    worker::main(Peer::named(peer).ok_or("an unknown peer")?, counted)
}

fn run(names: &[&str]) -> Result<(), Failure> {
    let wanted = |name: &str| names.is_empty() || names.contains(&name);
    let data = std::env::var("PORTOLAN_DATA").unwrap_or_else(|_| "the temporary folder".to_owned());
    println!("mongod {}, its data in {data}; {} CPUs\n", setting::version(), cpus());
    for bench in BENCHES.iter().filter(|bench| wanted(bench.name)) {
        println!("## {}: {}", bench.name, bench.what);
        (bench.run)()?;
    }
    Ok(())
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn help() -> String {
    let lines: Vec<String> =
        BENCHES.iter().map(|bench| format!("  {:<12} {}", bench.name, bench.what)).collect();
    format!(
        "usage: portolan-bench [NAME…]    all of these, or only those named\n\n{}\n\n\
         PORTOLAN_BENCH_ROUNDS: runs of each measurement (5); PORTOLAN_DATA: where servers keep\n\
         their data (a memory file system keeps disks out of the figures)",
        lines.join("\n")
    )
}
