//! A small `tracing` subscriber, for programs that have none of their own.
//!
//! It writes one line a message and hears nothing but this driver. A program that uses
//! `tracing-subscriber` or the like needs none of it.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write};
use std::sync::Mutex;
use std::time::SystemTime;

use bson::DateTime;
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

use super::env::{LogConfig, LogLevel, LogPath};

/// Installs a [`LogSubscriber`] as the process's default if the environment asks for any message;
/// whether it did.
///
/// # Errors
///
/// The process has a default already.
pub fn init_from_env() -> Result<bool, tracing::subscriber::SetGlobalDefaultError> {
    let config = LogConfig::from_env();
    let most = [config.command, config.topology, config.server_selection, config.connection];
    if most.into_iter().max() <= Some(LogLevel::Off) && config.warnings.is_empty() {
        return Ok(false);
    }
    tracing::subscriber::set_global_default(LogSubscriber::new(config))?;
    Ok(true)
}

/// Writes the messages of this driver that a [`LogConfig`] asks for, one a line.
pub struct LogSubscriber {
    config: LogConfig,
    output: Mutex<Box<dyn Write + Send>>,
}

impl fmt::Debug for LogSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogSubscriber").field("config", &self.config).finish_non_exhaustive()
    }
}

impl LogSubscriber {
    /// Writes to what `config` names; to standard error, with a warning, where that cannot be
    /// opened.
    pub fn new(mut config: LogConfig) -> Self {
        let output: Box<dyn Write + Send> = match &config.path {
            LogPath::Stderr => Box::new(io::stderr()),
            LogPath::Stdout => Box::new(io::stdout()),
            LogPath::File(path) => match File::options().append(true).create(true).open(path) {
                Ok(file) => Box::new(file),
                Err(error) => {
                    let warning = format!("MONGODB_LOG_PATH: {}: {error}", path.display());
                    config.warnings.push(warning);
                    Box::new(io::stderr())
                }
            },
        };
        Self::to(config, output)
    }

    /// The same to any output.
    pub fn to(config: LogConfig, mut output: Box<dyn Write + Send>) -> Self {
        for warning in &config.warnings {
            let _ = writeln!(output, "{warning}");
        }
        Self { config, output: Mutex::new(output) }
    }
}

impl Subscriber for LogSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let wanted = self.config.level_of(metadata.target());
        !metadata.is_span() && wanted.is_some_and(|wanted| severity(*metadata.level()) <= wanted)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let now = DateTime::from_system_time(SystemTime::now());
        let mut line = Line::default();
        event.record(&mut line);
        let time = now.try_to_rfc3339_string().unwrap_or_default();
        let (level, target) = (metadata.level(), metadata.target());
        if let Ok(mut output) = self.output.lock() {
            // There is nobody to tell that the log cannot be written.
            let _ = writeln!(output, "{time} {level:>5} {target}: {}{}", line.message, line.fields);
        }
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

fn severity(level: Level) -> LogLevel {
    match level {
        Level::ERROR => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Info,
        Level::DEBUG => LogLevel::Debug,
        Level::TRACE => LogLevel::Trace,
    }
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.fields, " {}={value}", field.name());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_level_target_message_and_fields() {
        let kept = Kept::default();
        let config = LogConfig { connection: LogLevel::Debug, ..LogConfig::default() };
        let subscriber = LogSubscriber::to(config, Box::new(kept.clone()));
        tracing::subscriber::with_default(subscriber, || {
            // The driver looks before it makes a message.
            assert!(tracing::enabled!(target: "portolan::connection", Level::DEBUG));
            assert!(!tracing::enabled!(target: "portolan::topology", Level::DEBUG));
            let port = Some(27017);
            tracing::debug!(target: "portolan::connection", serverPort = port, "Connection ready");
            tracing::debug!(target: "portolan::command", "not asked for");
            tracing::debug!(target: "somebody::else", "not ours");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.ends_with("DEBUG portolan::connection: Connection ready serverPort=27017\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    /// Logs one message as the environment says, in a process of its own: what it wrote to standard
    /// error. The environment and the default subscriber are the process's.
    fn logged_to(path: &str) -> String {
        let output = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "logging::subscriber::tests::logs_as_the_environment_says"])
            .arg("--nocapture")
            .env("MONGODB_LOG_CONNECTION", "debug")
            .env("MONGODB_LOG_PATH", path)
            .env("PORTOLAN_TEST_LOGS", "1")
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    #[test]
    fn logs_as_the_environment_says() {
        if std::env::var_os("PORTOLAN_TEST_LOGS").is_some() {
            assert_eq!(init_from_env().ok(), Some(true));
            tracing::debug!(target: "portolan::connection", "Connection ready");
        }
    }

    // EV-22
    #[test]
    fn a_file_is_appended_to_and_one_that_cannot_be_written_is_standard_error() {
        let folder = std::env::temp_dir().join(format!("portolan-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let file = folder.join("driver.log");
        let path = file.to_str().expect("text");
        for messages in [1, 2] {
            assert_eq!(logged_to(path).matches("Connection ready").count(), 0);
            let text = std::fs::read_to_string(&file).expect("the log");
            assert_eq!(text.matches("Connection ready").count(), messages, "{text}");
        }
        for unwritable in [folder.clone(), folder.join("no/such/folder/driver.log")] {
            let text = logged_to(unwritable.to_str().expect("text"));
            assert_eq!(text.matches("Connection ready").count(), 1, "{text}");
            assert!(text.contains("MONGODB_LOG_PATH: "), "it says why: {text}");
        }
        for stream in ["stderr", "STDERR"] {
            let text = logged_to(stream);
            assert_eq!(text.matches("Connection ready").count(), 1, "{text}");
            assert!(!text.contains("MONGODB_LOG_PATH"), "{text}");
        }
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
