//! Component `serverSelection`: how an operation finds its server.
//!
//! Specification: server-selection "Logging".

use std::time::Duration;

use tracing::{Level, debug, enabled, info};

use super::topology::described;
use super::{Log, SERVER_SELECTION, host_and_port};
use crate::engine::address::ServerAddress;
use crate::engine::sdam::TopologyDescription;
use crate::engine::selection::Criteria;
use crate::error::{Error, ErrorKind};

/// The log of one selection.
pub(crate) struct SelectionLog<'a> {
    log: &'a Log,
    selector: String,
    operation: &'a str,
    operation_id: Option<i64>,
}

impl Log {
    /// The log of a selection; `None` where nobody wants it.
    pub(crate) fn selection<'a>(
        &'a self,
        criteria: &Criteria<'_>,
        (operation, operation_id): (&'a str, Option<i64>),
    ) -> Option<SelectionLog<'a>> {
        // The most severe of its messages: whoever wants less has it disabled.
        if !enabled!(target: SERVER_SELECTION, Level::INFO) {
            return None;
        }
        let selector = criteria.to_string();
        Some(SelectionLog { log: self, selector, operation, operation_id })
    }
}

impl SelectionLog<'_> {
    pub(crate) fn started(&self, topology: &TopologyDescription) {
        if enabled!(target: SERVER_SELECTION, Level::DEBUG) {
            debug!(
                target: SERVER_SELECTION,
                topologyId = &*self.log.topology_id,
                selector = &*self.selector,
                operation = self.operation,
                operationId = self.operation_id,
                topologyDescription = described(topology),
                "Server selection started"
            );
        }
    }

    /// Once per operation, however often it looks again.
    pub(crate) fn waiting(&self, topology: &TopologyDescription, remaining: Duration) {
        info!(
            target: SERVER_SELECTION,
            topologyId = &*self.log.topology_id,
            selector = &*self.selector,
            operation = self.operation,
                operationId = self.operation_id,
            topologyDescription = described(topology),
            remainingTimeMS = remaining.as_millis() as u64,
            "Waiting for suitable server to become available"
        );
    }

    pub(crate) fn succeeded(&self, topology: &TopologyDescription, address: &ServerAddress) {
        if enabled!(target: SERVER_SELECTION, Level::DEBUG) {
            let (host, port) = host_and_port(address);
            debug!(
                target: SERVER_SELECTION,
                topologyId = &*self.log.topology_id,
                selector = &*self.selector,
                operation = self.operation,
                operationId = self.operation_id,
                topologyDescription = described(topology),
                serverHost = host,
                serverPort = port,
                "Server selection succeeded"
            );
        }
    }

    pub(crate) fn failed(&self, topology: &TopologyDescription, error: &Error) {
        if enabled!(target: SERVER_SELECTION, Level::DEBUG) {
            // "the topology description should not be duplicated within this field".
            let failure = match error.kind() {
                ErrorKind::ServerSelection { message, .. } => message.clone(),
                _ => error.to_string(),
            };
            debug!(
                target: SERVER_SELECTION,
                topologyId = &*self.log.topology_id,
                selector = &*self.selector,
                operation = self.operation,
                operationId = self.operation_id,
                topologyDescription = described(topology),
                failure,
                "Server selection failed"
            );
        }
    }
}
