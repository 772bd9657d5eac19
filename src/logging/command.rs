//! Component `command`: what becomes of each command.
//!
//! Specification: command-logging-and-monitoring "Log Messages". What carries secrets was taken out
//! before it comes here.

use tracing::{Level, debug, enabled};

use super::{COMMAND, Log, host_and_port, millis};
use crate::event::{CommandEvent, CommandEventKind};

/// One message about a command: the common fields, then those of the message.
macro_rules! say {
    ($log:expr, $event:expr, $message:literal $(, $field:ident = $value:expr)*) => {{
        let (host, port) = host_and_port(&$event.address);
        let service_id = $event.service_id.map(|id| id.to_hex());
        debug!(
            target: COMMAND,
            topologyId = &*$log.topology_id,
            commandName = &*$event.command_name,
            databaseName = &*$event.database_name,
            requestId = $event.request_id,
            operationId = $event.operation_id,
            driverConnectionId = $event.connection_id,
            serverConnectionId = $event.server_connection_id,
            serverHost = host,
            serverPort = port,
            serviceId = service_id,
            $($field = $value,)*
            $message
        )
    }};
}

impl Log {
    pub(crate) fn wants_commands(&self) -> bool {
        enabled!(target: COMMAND, Level::DEBUG)
    }

    pub(crate) fn command(&self, event: &CommandEvent) {
        if !self.wants_commands() {
            return;
        }
        match &event.kind {
            CommandEventKind::CommandStarted { command } => {
                say!(self, event, "Command started", command = self.json(command));
            }
            CommandEventKind::CommandSucceeded { duration, reply } => {
                say!(
                    self,
                    event,
                    "Command succeeded",
                    durationMS = millis(*duration),
                    reply = self.json(reply)
                );
            }
            CommandEventKind::CommandFailed { duration, failure } => {
                say!(
                    self,
                    event,
                    "Command failed",
                    durationMS = millis(*duration),
                    failure = self.cut(failure.to_string())
                );
            }
        }
    }
}
