//! What the core relies on.

portolan_contract::contract!(portolan_tokio::Tokio::with_dns, portolan_tokio::connect_with, run);

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}
