//! The bridge's log, to standard error: lines of text or of JSON.
//!
//! What the driver says is there too where `MONGODB_LOG_ALL` and its like ask for it; the bridge's
//! own level is `--log-level`.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use portolan::bson::DateTime;
use portolan::logging::{LogConfig, LogLevel as DriverLevel};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::redact::redacted;
use super::settings::{LogFormat, LogLevel};

/// Makes it the process's log.
pub(crate) fn install(format: LogFormat, level: LogLevel) {
    let driver = LogConfig::from_env();
    // Where there is another already, that one hears everything.
    let _ = tracing::subscriber::set_global_default(Log { format, level, driver });
}

struct Log {
    format: LogFormat,
    level: LogLevel,
    driver: LogConfig,
}

impl Log {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        if metadata.target().starts_with("portolan_bridge") {
            return match self.level {
                LogLevel::Off => false,
                LogLevel::Warn => level <= Level::WARN,
                LogLevel::Info => level <= Level::INFO,
                LogLevel::Debug => level <= Level::DEBUG,
            };
        }
        let wanted = match metadata.target() {
            "portolan::command" => self.driver.command,
            "portolan::topology" => self.driver.topology,
            "portolan::serverSelection" => self.driver.server_selection,
            "portolan::connection" => self.driver.connection,
            _ => DriverLevel::Off,
        };
        match wanted {
            DriverLevel::Off => false,
            DriverLevel::Error => level <= Level::ERROR,
            DriverLevel::Warn => level <= Level::WARN,
            DriverLevel::Info => level <= Level::INFO,
            DriverLevel::Debug => level <= Level::DEBUG,
            DriverLevel::Trace => true,
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span() && self.wants(metadata)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let time = DateTime::now().try_to_rfc3339_string().unwrap_or_default();
        let line = fields.line(self.format, &time, event.metadata());
        // One write a line: lines of several threads do not mix. Who cannot log goes on.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn line(self, format: LogFormat, time: &str, metadata: &Metadata<'_>) -> String {
        let level = metadata.level().as_str();
        match format {
            LogFormat::Json => {
                let mut all = Map::new();
                all.insert("time".to_owned(), time.into());
                all.insert("level".to_owned(), level.to_ascii_lowercase().into());
                all.insert("target".to_owned(), metadata.target().into());
                all.insert("message".to_owned(), self.message.into());
                all.extend(self.others);
                format!("{}\n", Value::Object(all))
            }
            LogFormat::Text => {
                // Debug of a text: nothing in it can look like a line of its own.
                let message = self.message.escape_debug();
                let mut line = format!("{time} {level:5} {message}");
                for (name, value) in self.others {
                    let _ = match value {
                        Value::String(text) if is_plain(&text) => write!(line, " {name}={text}"),
                        value => write!(line, " {name}={value}"),
                    };
                }
                line.push('\n');
                line
            }
        }
    }

    fn add(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = redacted(&format!("{value:?}"));
        if field.name() == "message" {
            self.message = text;
        } else {
            self.add(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, redacted(value).into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }
}
