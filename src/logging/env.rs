//! What the specification's environment variables say.
//!
//! Specification: logging "Configuration". A value that means nothing counts as none and is named
//! in [`LogConfig::warnings`].

use std::path::PathBuf;

/// How severe a message is, most severe first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing is logged.
    #[default]
    Off,
    /// Error and above (emergency, alert, critical).
    Error,
    /// Warning.
    Warn,
    /// Informational, and notice, which `tracing` does not have.
    Info,
    /// Debug.
    Debug,
    /// Trace.
    Trace,
}

impl LogLevel {
    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "off" => Self::Off,
            "emergency" | "alert" | "critical" | "error" => Self::Error,
            "warn" => Self::Warn,
            "notice" | "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            _ => return None,
        })
    }
}

/// Where messages go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogPath {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
    /// The end of a file.
    File(PathBuf),
}

/// Which messages are wanted, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// Component `command`.
    pub command: LogLevel,
    /// Component `topology`.
    pub topology: LogLevel,
    /// Component `serverSelection`.
    pub server_selection: LogLevel,
    /// Component `connection`.
    pub connection: LogLevel,
    /// Where they go.
    pub path: LogPath,
    /// Variables whose value means nothing.
    pub warnings: Vec<String>,
}

impl LogConfig {
    /// What the process's environment says.
    pub fn from_env() -> Self {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// What `variable` says: the value of the environment variable of that name.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let mut warnings = Vec::new();
        let mut level = |name: &str| {
            let text = variable(name).filter(|text| !text.is_empty())?;
            let level = LogLevel::parse(&text);
            if level.is_none() {
                warnings.push(format!("{name}: \"{text}\" is no log level"));
            }
            level
        };
        let all = level("MONGODB_LOG_ALL").unwrap_or_default();
        let [command, topology, server_selection, connection] = [
            "MONGODB_LOG_COMMAND",
            "MONGODB_LOG_TOPOLOGY",
            "MONGODB_LOG_SERVER_SELECTION",
            "MONGODB_LOG_CONNECTION",
        ]
        .map(|name| level(name).unwrap_or(all));
        let path = match variable("MONGODB_LOG_PATH").filter(|path| !path.is_empty()) {
            None => LogPath::Stderr,
            Some(path) if path.eq_ignore_ascii_case("stderr") => LogPath::Stderr,
            Some(path) if path.eq_ignore_ascii_case("stdout") => LogPath::Stdout,
            Some(path) => LogPath::File(path.into()),
        };
        Self { command, topology, server_selection, connection, path, warnings }
    }

    /// The level of one of this driver's `tracing` targets; `None` for any other target.
    pub(super) fn level_of(&self, target: &str) -> Option<LogLevel> {
        Some(match target {
            super::COMMAND => self.command,
            super::TOPOLOGY => self.topology,
            super::SERVER_SELECTION => self.server_selection,
            super::CONNECTION => self.connection,
            _ => return None,
        })
    }
}

/// `MONGODB_LOG_MAX_DOCUMENT_LENGTH`; "unlimited" is as good as a very large number.
pub(super) fn max_document_length() -> Option<usize> {
    parse_length(&std::env::var("MONGODB_LOG_MAX_DOCUMENT_LENGTH").ok()?)
}

fn parse_length(text: &str) -> Option<usize> {
    if text.eq_ignore_ascii_case("unlimited") { Some(usize::MAX) } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> LogConfig {
        LogConfig::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    // RK-42
    #[test]
    fn a_component_wins_over_all() {
        let config = config(&[("MONGODB_LOG_ALL", "Info"), ("MONGODB_LOG_COMMAND", "DEBUG")]);
        assert_eq!((config.command, config.topology), (LogLevel::Debug, LogLevel::Info));
        assert_eq!(config.level_of("portolan::connection"), Some(LogLevel::Info));
        assert_eq!(config.level_of("other"), None);
    }

    #[test]
    fn what_means_nothing_counts_as_unset_and_is_named() {
        let config = config(&[("MONGODB_LOG_ALL", "debug"), ("MONGODB_LOG_TOPOLOGY", "loud")]);
        assert_eq!(config.topology, LogLevel::Debug);
        assert_eq!(config.warnings, ["MONGODB_LOG_TOPOLOGY: \"loud\" is no log level"]);
    }

    #[test]
    fn messages_go_to_standard_error_unless_told_otherwise() {
        assert_eq!(config(&[]).path, LogPath::Stderr);
        assert_eq!(config(&[("MONGODB_LOG_PATH", "STDOUT")]).path, LogPath::Stdout);
        let file = config(&[("MONGODB_LOG_PATH", "mongodb.log")]).path;
        assert_eq!(file, LogPath::File("mongodb.log".into()));
    }

    #[test]
    fn the_longest_document_may_be_unlimited() {
        assert_eq!(parse_length("unlimited"), Some(usize::MAX));
        assert_eq!(parse_length("20"), Some(20));
        assert_eq!(parse_length("-1"), None);
    }
}
