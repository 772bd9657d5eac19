//! Read and write concerns: how safe data must be before it is read, or a write acknowledged.
//!
//! Specification: read-write-concern.

use std::time::Duration;

use bson::RawDocumentBuf;
use bson::raw::cstr;

use super::OptionsError;

/// How safe the data that a read returns must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadConcern {
    /// The level; `None` for the server's default.
    pub level: Option<ReadConcernLevel>,
}

/// A level of read concern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadConcernLevel {
    /// The member's most recent data, which may be rolled back.
    Local,
    /// As `Local`, and in a sharded cluster without filtering orphaned documents.
    Available,
    /// Acknowledged by a majority: never rolled back.
    Majority,
    /// As `Majority`, and after all writes that ended before the read began.
    Linearizable,
    /// As of one point in time.
    Snapshot,
    /// A level that this driver does not know by name.
    Custom(String),
}

impl ReadConcernLevel {
    const KNOWN: [Self; 5] =
        [Self::Local, Self::Available, Self::Majority, Self::Linearizable, Self::Snapshot];

    /// The level as the server writes it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Available => "available",
            Self::Majority => "majority",
            Self::Linearizable => "linearizable",
            Self::Snapshot => "snapshot",
            Self::Custom(level) => level,
        }
    }
}

impl From<&str> for ReadConcernLevel {
    fn from(text: &str) -> Self {
        let known = Self::KNOWN.into_iter().find(|level| level.as_str() == text);
        known.unwrap_or_else(|| Self::Custom(text.to_owned()))
    }
}

impl From<ReadConcernLevel> for ReadConcern {
    fn from(level: ReadConcernLevel) -> Self {
        Self { level: Some(level) }
    }
}

impl ReadConcern {
    /// Whether nothing is set, so that nothing is sent.
    pub fn is_default(&self) -> bool {
        self.level.is_none()
    }

    /// The `readConcern` field of a command.
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        if let Some(level) = &self.level {
            document.append(cstr!("level"), level.as_str());
        }
        document
    }
}

/// How safe a write must be before the server acknowledges it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteConcern {
    /// Which members must have the write; `None` for the server's default.
    pub w: Option<Acknowledgment>,
    /// How long the server waits for them; `None` or zero for no limit. Deprecated: the `timeoutMS`
    /// of an operation overrides it.
    pub w_timeout: Option<Duration>,
    /// Whether the write must be in the on-disk journal; `None` for the server's default.
    pub journal: Option<bool>,
}

/// Which members must have a write before it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acknowledgment {
    /// So many members; 0 asks for no acknowledgment at all.
    Nodes(u32),
    /// A majority of the voting data-bearing members.
    Majority,
    /// A rule of the set's configuration, by name.
    Custom(String),
}

impl From<u32> for Acknowledgment {
    fn from(nodes: u32) -> Self {
        Self::Nodes(nodes)
    }
}

impl From<&str> for Acknowledgment {
    fn from(name: &str) -> Self {
        if name == "majority" { Self::Majority } else { Self::Custom(name.to_owned()) }
    }
}

impl WriteConcern {
    /// A majority of the set must have the write: it survives the loss of the primary.
    pub fn majority() -> Self {
        Self { w: Some(Acknowledgment::Majority), ..Self::default() }
    }

    /// `nodes` members must have the write.
    pub fn nodes(nodes: u32) -> Self {
        Self { w: Some(Acknowledgment::Nodes(nodes)), ..Self::default() }
    }

    /// Whether nothing is set, so that nothing is sent.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the server answers a write at all. Journalled writes are always answered.
    pub fn is_acknowledged(&self) -> bool {
        self.w != Some(Acknowledgment::Nodes(0)) || self.journal == Some(true)
    }

    /// Whether the parts go together.
    ///
    /// # Errors
    ///
    /// `w: 0` with `journal: true` ("Inconsistent WriteConcern").
    pub fn validate(&self) -> Result<(), OptionsError> {
        if self.w == Some(Acknowledgment::Nodes(0)) && self.journal == Some(true) {
            return Err(OptionsError::conflict(
                &["w", "journal"],
                "w=0 asks for no acknowledgment, but journal=true waits for one; remove either",
            ));
        }
        Ok(())
    }

    /// The `writeConcern` field of a command.
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        match &self.w {
            None => {}
            Some(Acknowledgment::Nodes(nodes)) => {
                document.append(cstr!("w"), i32::try_from(*nodes).unwrap_or(i32::MAX));
            }
            Some(Acknowledgment::Majority) => document.append(cstr!("w"), "majority"),
            Some(Acknowledgment::Custom(name)) => document.append(cstr!("w"), name.as_str()),
        }
        if let Some(journal) = self.journal {
            document.append(cstr!("j"), journal);
        }
        if let Some(limit) = self.w_timeout {
            let millis = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
            document.append(cstr!("wtimeout"), millis);
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::{Document, doc};

    #[test]
    fn a_read_concern_is_its_level() {
        let document = |level: &str| {
            let concern = ReadConcern::from(ReadConcernLevel::from(level));
            Document::try_from(concern.to_document()).unwrap()
        };
        assert_eq!(document("majority"), doc! {"level": "majority"});
        assert_eq!(document("later"), doc! {"level": "later"});
        assert_eq!(ReadConcernLevel::from("snapshot"), ReadConcernLevel::Snapshot);
        assert!(ReadConcern::default().is_default());
    }

    #[test]
    fn a_write_concern_sends_what_is_set() {
        let document = |concern: &WriteConcern| Document::try_from(concern.to_document()).unwrap();
        let all = WriteConcern {
            w: Some(3.into()),
            w_timeout: Some(Duration::from_millis(500)),
            journal: Some(true),
        };
        assert_eq!(document(&all), doc! {"w": 3, "j": true, "wtimeout": 500_i64});
        assert_eq!(document(&WriteConcern::majority()), doc! {"w": "majority"});
        assert_eq!(document(&WriteConcern::default()), doc! {});
        let named = WriteConcern { w: Some("dc2".into()), ..WriteConcern::default() };
        assert_eq!(document(&named), doc! {"w": "dc2"});
    }

    #[test]
    fn unacknowledged_goes_without_a_journal() {
        assert!(!WriteConcern::nodes(0).is_acknowledged());
        assert!(WriteConcern::default().is_acknowledged());
        let bad = WriteConcern { journal: Some(true), ..WriteConcern::nodes(0) };
        assert_eq!(bad.validate().unwrap_err().options(), ["w", "journal"]);
    }
}
