//! A recording of everything that the topology machine was told, and its replay.
//!
//! The machine is deterministic, so a recording gives the same actions and events anywhere: in a
//! test, in the simulator, in a page. A recording is a line of JSON for the settings, then one for
//! each input; all times are nanoseconds on the client's clock.

use serde::{Deserialize, Serialize};

use super::events::{Action, Event};
use super::machine::Sdam;
use super::notice;
use super::settings::SdamSettings;
use crate::engine::time::Instant;

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::large_enum_variant, reason = "one settings line a recording, never kept")]
pub enum Record {
    /// What the machine was made with: the first line.
    Settings(SdamSettings),
    /// One input.
    Input {
        /// When it happened.
        at: Instant,
        /// What happened.
        event: Event,
    },
}

/// Runs a recording again, line by line.
#[derive(Debug, Default)]
pub struct Replay {
    machine: Option<Sdam>,
}

/// Why a recording cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// An input before the settings.
    NoSettings,
    /// Settings for a second time.
    SettingsAgain,
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSettings => f.write_str("the recording does not begin with settings"),
            Self::SettingsAgain => f.write_str("the recording has settings a second time"),
        }
    }
}

impl std::error::Error for ReplayError {}

impl Replay {
    /// A replay that waits for its first line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs the next line; returns everything that the machine then wanted.
    ///
    /// # Errors
    ///
    /// A line that cannot stand where it stands.
    pub fn step(&mut self, record: Record) -> Result<Vec<Action>, ReplayError> {
        match (record, &mut self.machine) {
            (Record::Settings(settings), None) => {
                self.machine = Some(Sdam::new(settings));
                Ok(Vec::new())
            }
            (Record::Settings(_), Some(_)) => Err(ReplayError::SettingsAgain),
            (Record::Input { .. }, None) => Err(ReplayError::NoSettings),
            (Record::Input { at, event }, Some(machine)) => {
                machine.handle(at, event);
                Ok(std::iter::from_fn(|| machine.poll_action()).collect())
            }
        }
    }

    /// When the machine is to be told next that time has come; `None` while nothing is due.
    pub fn due(&self) -> Option<Instant> {
        self.machine.as_ref().and_then(Sdam::poll_timeout)
    }

    /// As [`Replay::step`], but only what subscribers hear.
    ///
    /// # Errors
    ///
    /// As [`Replay::step`].
    pub fn events(&mut self, record: Record) -> Result<Vec<notice::Event>, ReplayError> {
        let told = |action| match action {
            Action::Notify(event) => Some(event),
            _ => None,
        };
        Ok(self.step(record)?.into_iter().filter_map(told).collect())
    }
}

/// Bytes as a text of hexadecimal digits.
pub(super) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::engine::sdam) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
        let text: String = bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect();
        serializer.serialize_str(&text)
    }

    pub(in crate::engine::sdam) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let pair = |pair: &[u8]| {
            let digit = |c: u8| char::from(c).to_digit(16);
            let byte = digit(pair[0])? * 16 + digit(*pair.get(1)?)?;
            u8::try_from(byte).ok()
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
        bytes.ok_or_else(|| D::Error::custom("not pairs of hexadecimal digits"))
    }
}
