//! The end of a client.

use std::pin::pin;
use std::time::Duration;

use bson::RawDocumentBuf;
use bson::raw::cstr;
use futures_util::future::select;

use crate::client::Client;
use crate::driver::execute::execute;
use crate::driver::on_demand::attend;
use crate::driver::route::Route;
use crate::engine::op;
use crate::engine::selection::{self, Criteria, ReadPreference};
use crate::options::ServerSelector;

impl Client {
    /// Ends dropped cursors and transactions and all sessions on the server, closes all
    /// connections and stops monitoring. The last event is `TopologyClosed`; operations that still
    /// wait fail.
    ///
    /// Takes a second at most, should the server not answer.
    pub async fn shutdown(&self) {
        let shared = self.shared();
        let enough = shared.transport.sleep_until(shared.transport.now() + COURTESY);
        let _ = select(pin!(self.end_sessions()), enough).await;
        shared.close();
    }

    /// Sessions "endSessions": "run once when the MongoClient instance is shut down".
    async fn end_sessions(&self) {
        let shared = self.shared();
        let reachable = {
            let selector = shared.options.server_selector.as_ref().map(ServerSelector::rule);
            let preferred = Criteria::read(&PRIMARY_PREFERRED);
            let criteria = Criteria { server_selector: selector, ..preferred };
            let view = shared.view();
            selection::window(&view.topology, &criteria).is_ok_and(|servers| !servers.is_empty())
        };
        if !reachable {
            return;
        }
        // Cursors and transactions that were just dropped: their sessions come back with that.
        attend(shared, pin!(shared.settle())).await;
        let sessions = shared.sessions.drain();
        for some in sessions.chunks(ENDED_AT_ONCE) {
            let Ok(mut operation) = op::RunCommand::new(end_sessions(some)) else { return };
            let route = Route { in_session: false, ..Route::read("admin", &PRIMARY_PREFERRED) };
            // "Drivers MUST ignore any errors"; where one batch fails, the next would too.
            if execute(shared, &mut operation, &route).await.is_err() {
                return;
            }
        }
    }
}

/// How long [`Client::shutdown`] waits for the server to hear of it.
const COURTESY: Duration = Duration::from_secs(1);

/// "10,000 sessions at a time".
const ENDED_AT_ONCE: usize = 10_000;

static PRIMARY_PREFERRED: ReadPreference = ReadPreference::primary_preferred();

fn end_sessions(sessions: &[RawDocumentBuf]) -> RawDocumentBuf {
    let ids: bson::RawArrayBuf = sessions.iter().map(|lsid| &**lsid).collect();
    let mut command = RawDocumentBuf::new();
    command.append(cstr!("endSessions"), ids);
    command
}
