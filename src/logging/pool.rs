//! Component `connection`: what pools do.
//!
//! Specification: connection-monitoring-and-pooling "Connection Pool Logging".

use tracing::{Level, debug, enabled};

use super::{CONNECTION, Log, host_and_port, millis};
use crate::engine::pool::{PoolEvent, PoolEventKind};

/// One message about a pool: the common fields, then those of the message.
macro_rules! say {
    ($log:expr, $event:expr, $message:literal $(, $field:ident = $value:expr)*) => {{
        let (host, port) = host_and_port(&$event.address);
        debug!(
            target: CONNECTION,
            topologyId = &*$log.topology_id,
            serverHost = host,
            serverPort = port,
            $($field = $value,)*
            $message
        )
    }};
}

impl Log {
    pub(crate) fn wants_connections(&self) -> bool {
        enabled!(target: CONNECTION, Level::DEBUG)
    }

    pub(crate) fn pool(&self, event: &PoolEvent) {
        if !self.wants_connections() {
            return;
        }
        match &event.kind {
            PoolEventKind::PoolCreated { settings } => {
                let idle = settings.max_idle_time;
                let idle = (!idle.is_zero()).then_some(idle.as_millis() as u64);
                let wait = settings.wait_queue_timeout.map(|limit| limit.as_millis() as u64);
                say!(
                    self,
                    event,
                    "Connection pool created",
                    maxIdleTimeMS = idle,
                    minPoolSize = settings.min_size as u64,
                    maxPoolSize = settings.max_size as u64,
                    maxConnecting = settings.max_connecting as u64,
                    waitQueueTimeoutMS = wait
                );
            }
            PoolEventKind::PoolReady => say!(self, event, "Connection pool ready"),
            PoolEventKind::PoolCleared { service_id, .. } => {
                let service_id = service_id.map(|id| id.to_hex());
                say!(self, event, "Connection pool cleared", serviceId = service_id);
            }
            PoolEventKind::PoolClosed => say!(self, event, "Connection pool closed"),
            _ => self.connection(event),
        }
    }

    fn connection(&self, event: &PoolEvent) {
        match &event.kind {
            PoolEventKind::ConnectionCreated { connection_id } => {
                say!(self, event, "Connection created", driverConnectionId = *connection_id);
            }
            PoolEventKind::ConnectionReady { connection_id, duration } => {
                say!(
                    self,
                    event,
                    "Connection ready",
                    driverConnectionId = *connection_id,
                    durationMS = millis(*duration)
                );
            }
            PoolEventKind::ConnectionClosed { connection_id, reason, error } => {
                say!(
                    self,
                    event,
                    "Connection closed",
                    driverConnectionId = *connection_id,
                    reason = reason.to_string(),
                    error = error.as_deref()
                );
            }
            PoolEventKind::ConnectionCheckOutStarted => {
                say!(self, event, "Connection checkout started");
            }
            PoolEventKind::ConnectionCheckOutFailed { reason, error, duration } => {
                say!(
                    self,
                    event,
                    "Connection checkout failed",
                    reason = reason.to_string(),
                    error = error.as_deref(),
                    durationMS = millis(*duration)
                );
            }
            PoolEventKind::ConnectionCheckedOut { connection_id, duration } => {
                say!(
                    self,
                    event,
                    "Connection checked out",
                    driverConnectionId = *connection_id,
                    durationMS = millis(*duration)
                );
            }
            PoolEventKind::ConnectionCheckedIn { connection_id } => {
                say!(self, event, "Connection checked in", driverConnectionId = *connection_id);
            }
            PoolEventKind::PoolCreated { .. }
            | PoolEventKind::PoolReady
            | PoolEventKind::PoolCleared { .. }
            | PoolEventKind::PoolClosed => {}
        }
    }
}
