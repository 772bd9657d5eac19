//! `portolan-cases RUNTIME ADDRESSES`: the cases that `web/tests/runtimes` has for JavaScript, by
//! the Rust interface on a native runtime.
//!
//! A line of input names a case, a line of output is its result as JSON: the test that prints the
//! table treats this program as one more runtime.

// A program: its output is for the test that started it.
#![allow(clippy::print_stdout)]

mod cases;
mod given;

use std::io::{self, BufRead as _};
use std::sync::Arc;

use portolan_async_std::AsyncStd;
use portolan_smol::Smol;
use portolan_tokio::Tokio;
use serde_json::json;

use crate::given::{Given, Outcome};

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [runtime, addresses] = &arguments[..] else {
        return Err("usage: portolan-cases RUNTIME ADDRESSES".into());
    };
    let addresses = serde_json::from_str(addresses)?;
    match runtime.as_str() {
        "async-std" => {
            let open = |options| Box::pin(portolan_async_std::connect_with(options)) as _;
            let given = Given::new(&addresses, open, Arc::new(AsyncStd::new()))?;
            async_std::task::block_on(serve(&given))
        }
        "smol" => {
            let open = |options| Box::pin(portolan_smol::connect_with(options)) as _;
            let given = Given::new(&addresses, open, Arc::new(Smol::new()))?;
            smol::block_on(serve(&given))
        }
        "tokio" => {
            let open = |options| Box::pin(portolan_tokio::connect_with(options)) as _;
            let given = Given::new(&addresses, open, Arc::new(Tokio::new()))?;
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()?
                .block_on(serve(&given))
        }
        _ => Err("the runtimes are async-std, smol and tokio".into()),
    }
}

async fn serve(given: &Given) -> Outcome<()> {
    // The input is read while nothing runs: it may block.
    for name in io::stdin().lock().lines() {
        let result = match cases::run(&name?, given).await {
            Ok(note) => json!({ "ok": true, "note": note }),
            Err(error) => json!({ "ok": false, "note": error.to_string() }),
        };
        println!("{result}");
    }
    Ok(())
}
