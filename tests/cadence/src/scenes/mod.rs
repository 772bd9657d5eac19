//! The scenes.

mod polling;
mod streaming;

use portolan_sim::scripted::Script;

/// A deployment, and the client that meets it.
pub struct Scene {
    /// Its name.
    pub name: &'static str,
    uri: &'static str,
    script: fn() -> Script,
}

impl Scene {
    /// The scene of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENES.iter().find(|scene| scene.name == name)
    }

    pub(crate) fn script(&self) -> Script {
        (self.script)()
    }

    pub(crate) fn uri(&self) -> &'static str {
        self.uri
    }
}

/// All scenes.
///
/// The connection time-out is far longer than anything takes: a deployment that keeps the client
/// waiting is no time-out, and a machine that is slow is no standstill.
pub static SCENES: &[Scene] = &[
    Scene {
        name: "streaming",
        uri: "mongodb://a/?replicaSet=rs0&heartbeatFrequencyMS=1000&connectTimeoutMS=60000\
              &serverSelectionTimeoutMS=60000&serverMonitoringMode=stream",
        script: streaming::script,
    },
    Scene {
        name: "polling",
        uri: "mongodb://a/?replicaSet=rs0&heartbeatFrequencyMS=1000&connectTimeoutMS=60000\
              &serverSelectionTimeoutMS=60000&serverMonitoringMode=poll",
        script: polling::script,
    },
];
