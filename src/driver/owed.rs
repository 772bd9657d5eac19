//! What the client still owes the servers: the end of a dropped cursor, the abort of a dropped
//! session's transaction. The driver future does it; a shutdown waits for it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shared::Shared;
use crate::transport::MaybeSend;

/// How much there is, and who waits for the end of it.
#[derive(Default)]
pub(crate) struct Owed {
    count: AtomicUsize,
    settled: event_listener::Event,
}

impl Owed {
    fn one_more(self: &Arc<Self>) -> Debt {
        self.count.fetch_add(1, Ordering::SeqCst);
        Debt(self.clone())
    }
}

/// One thing that is owed, until it is done or nobody will do it any more.
struct Debt(Arc<Owed>);

impl Drop for Debt {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.settled.notify(usize::MAX);
        }
    }
}

impl Shared {
    /// Leaves to the driver future what a server is to hear; a shutdown waits for it.
    pub(crate) fn owe(&self, job: impl Future<Output = ()> + MaybeSend + 'static) {
        let debt = self.owed.one_more();
        self.leave_job(Box::pin(async move {
            job.await;
            drop(debt);
        }));
    }

    /// Ends when nothing is owed.
    pub(crate) async fn settle(&self) {
        loop {
            let settled = self.owed.settled.listen();
            if self.owed.count.load(Ordering::SeqCst) == 0 {
                return;
            }
            settled.await;
        }
    }
}
