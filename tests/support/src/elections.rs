//! When the servers themselves elected, read from their logs.
//!
//! The driver's share of a failover is what remains after the servers' own election time is taken
//! away, so measurements need both.

use std::path::Path;
use std::time::SystemTime;

use crate::{Error, Result};

/// One step of an election, in the order in which a candidate takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElectionStep {
    /// The member stands for election.
    Started,
    /// It has the votes.
    Succeeded,
    /// It accepts writes.
    PrimaryComplete,
}

/// A step that a member logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionEvent {
    /// The member's own time stamp, to the millisecond.
    pub at: SystemTime,
    /// Which step.
    pub step: ElectionStep,
    /// The log's message.
    pub message: String,
}

/// The elections in the log at `path`, oldest first.
///
/// # Errors
///
/// [`Error::Io`] when the log cannot be read; lines that are no log records are passed over.
pub fn election_events(path: &Path) -> Result<Vec<ElectionEvent>> {
    let text = std::fs::read(path).map_err(Error::io(format!("reading {}", path.display())))?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(event).collect())
}

fn event(line: &str) -> Option<ElectionEvent> {
    let message = text_after(line, r#""msg":""#)?;
    let step = if message.starts_with("Starting an election") {
        ElectionStep::Started
    } else if message.starts_with("Election succeeded") {
        ElectionStep::Succeeded
    } else if message.starts_with("Transition to primary complete") {
        ElectionStep::PrimaryComplete
    } else {
        return None;
    };
    let date = text_after(line, r#"{"t":{"$date":""#)?;
    let at = bson::DateTime::parse_rfc3339_str(date).ok()?.to_system_time();
    Some(ElectionEvent { at, step, message: message.to_owned() })
}

/// The text between `key` and the next quotation mark; log messages of interest escape none.
fn text_after<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(key)?;
    rest.split_once('"').map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn only_the_steps_of_an_election_are_read() {
        let head = r#"{"t":{"$date":"1970-01-01T00:00:01.250+00:00"},"s":"I","c":"ELECTION","#;
        let message = "Starting an election, since we've seen no PRIMARY";
        let started = event(&format!("{head}\"msg\":\"{message}\",\"attr\":{{}}}}"))
            .expect("an election line");
        assert_eq!(started.message, message);
        assert_eq!(started.step, ElectionStep::Started);
        assert_eq!(started.at, UNIX_EPOCH + Duration::from_millis(1250));
        assert_eq!(event(&format!("{head}\"msg\":\"other\"}}")), None);
        assert_eq!(event("no log record"), None);
    }
}
