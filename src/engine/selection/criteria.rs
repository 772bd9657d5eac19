//! What a caller asks of a server: operation, read preference, thresholds.
//!
//! [`ReadPreference`] is the user's word; [`Criteria`] is one operation's question to
//! [`select`](super::select). Specification: server-selection, "Read Preference".

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bson::raw::{CString, cstr};
use bson::{RawArrayBuf, RawDocumentBuf, Timestamp};

use super::explain::Span;
use super::tags::write_tag_set;
use crate::engine::address::ServerAddress;
use crate::engine::map::SortedMap;
use crate::engine::sdam::{ServerDescription, ServerType, TopologyType};

/// Tags that a server must have: a server matches if all of them are among its own.
pub type TagSet = SortedMap<String, String>;

/// Which members of a replica set may serve a read (server-selection "mode").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReadPreferenceMode {
    /// Only the primary.
    #[default]
    Primary,
    /// The primary; secondaries while there is none.
    PrimaryPreferred,
    /// Only secondaries.
    Secondary,
    /// Secondaries; the primary while none is eligible.
    SecondaryPreferred,
    /// The primary and secondaries alike.
    Nearest,
}

impl ReadPreferenceMode {
    /// All modes.
    pub const ALL: [Self; 5] = [
        Self::Primary,
        Self::PrimaryPreferred,
        Self::Secondary,
        Self::SecondaryPreferred,
        Self::Nearest,
    ];

    /// The mode as connection strings and `$readPreference` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::PrimaryPreferred => "primaryPreferred",
            Self::Secondary => "secondary",
            Self::SecondaryPreferred => "secondaryPreferred",
            Self::Nearest => "nearest",
        }
    }
}

impl fmt::Display for ReadPreferenceMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no read preference mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMode(pub String);

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not a read preference mode; use one of", self.0)?;
        for (i, mode) in ReadPreferenceMode::ALL.iter().enumerate() {
            write!(f, "{} {mode}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownMode {}

impl FromStr for ReadPreferenceMode {
    type Err = UnknownMode;

    /// Reads a mode in its exact spelling: `primaryPreferred`, not `primarypreferred`.
    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let mode = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        mode.ok_or_else(|| UnknownMode(text.to_owned()))
    }
}

/// Which servers may serve a read.
///
/// ```
/// use portolan::engine::selection::ReadPreference;
/// use std::time::Duration;
///
/// let near = ReadPreference::nearest();
/// let fresh = ReadPreference::secondary_preferred()
///     .with_tags([("dc", "ny")])
///     .with_max_staleness(Duration::from_secs(120));
/// assert!(near.validate().is_ok() && fresh.validate().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPreference {
    /// Primary, secondaries, or both.
    pub mode: ReadPreferenceMode,
    /// Tag sets in order of preference; the first that any candidate matches decides. Empty: any
    /// tags. Not with mode primary.
    pub tag_sets: Vec<TagSet>,
    /// How far behind a secondary may be; `None` for no limit. At least 90 seconds and at least
    /// 10 seconds more than the heartbeat interval. Not with mode primary.
    pub max_staleness: Option<Duration>,
    /// Whether mongos may hedge the read; `None` leaves it to the server and sends nothing.
    /// Deprecated: see [`with_hedge`](Self::with_hedge).
    pub hedge: Option<bool>,
}

impl ReadPreference {
    /// The default: only the primary.
    pub const PRIMARY: Self = Self::of(ReadPreferenceMode::Primary);

    /// A preference of `mode` without tags or a limit of staleness.
    pub const fn of(mode: ReadPreferenceMode) -> Self {
        Self { mode, tag_sets: Vec::new(), max_staleness: None, hedge: None }
    }

    /// Only the primary.
    pub const fn primary() -> Self {
        Self::PRIMARY
    }

    /// The primary; secondaries while there is none.
    pub const fn primary_preferred() -> Self {
        Self::of(ReadPreferenceMode::PrimaryPreferred)
    }

    /// Only secondaries.
    pub const fn secondary() -> Self {
        Self::of(ReadPreferenceMode::Secondary)
    }

    /// Secondaries; the primary while none is eligible.
    pub const fn secondary_preferred() -> Self {
        Self::of(ReadPreferenceMode::SecondaryPreferred)
    }

    /// The primary and secondaries alike.
    pub const fn nearest() -> Self {
        Self::of(ReadPreferenceMode::Nearest)
    }

    /// Adds one tag set, less preferred than those before it.
    #[must_use]
    pub fn with_tags<K: Into<String>, V: Into<String>>(
        mut self,
        tags: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.tag_sets.push(tags.into_iter().map(|(k, v)| (k.into(), v.into())).collect());
        self
    }

    /// Limits how far behind a secondary may be.
    #[must_use]
    pub fn with_max_staleness(mut self, limit: Duration) -> Self {
        self.max_staleness = Some(limit);
        self
    }

    /// Says whether mongos may hedge the read: ask two servers and take the first answer.
    #[deprecated(note = "hedged reads are deprecated since MongoDB 8.0: leave it out")]
    #[must_use]
    pub fn with_hedge(mut self, hedge: Hedge) -> Self {
        self.hedge = Some(hedge.enabled);
        self
    }

    /// Whether tags and staleness go with the mode.
    ///
    /// # Errors
    ///
    /// A non-empty tag set or a limit of staleness with mode primary; a NUL in a tag's name.
    pub fn validate(&self) -> Result<(), SelectionError> {
        if self.tag_sets.iter().flat_map(TagSet::keys).any(|name| name.contains('\0')) {
            return Err(SelectionError::NulInTag);
        }
        if self.mode == ReadPreferenceMode::Primary {
            // SS-17, SS-14.
            if self.tag_sets.iter().any(|set| !set.is_empty()) {
                return Err(SelectionError::TagsWithPrimary);
            }
            if self.max_staleness.is_some() {
                return Err(SelectionError::StalenessWithPrimary);
            }
        }
        Ok(())
    }

    /// The `$readPreference` document ("Document structure").
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("mode"), self.mode.as_str());
        if self.mode == ReadPreferenceMode::Primary {
            return document;
        }
        if !self.tag_sets.is_empty() {
            let mut tags = RawArrayBuf::new();
            for set in &self.tag_sets {
                let mut one = RawDocumentBuf::new();
                for (name, value) in set {
                    // `validate` refuses the names that are no BSON keys.
                    if let Ok(name) = CString::try_from(name.as_str()) {
                        one.append(name, value.as_str());
                    }
                }
                tags.push(one);
            }
            document.append(cstr!("tags"), tags);
        }
        if let Some(limit) = self.max_staleness {
            let seconds = i32::try_from(limit.as_secs()).unwrap_or(i32::MAX);
            document.append(cstr!("maxStalenessSeconds"), seconds);
        }
        if let Some(enabled) = self.hedge {
            let mut hedge = RawDocumentBuf::new();
            hedge.append(cstr!("enabled"), enabled);
            document.append(cstr!("hedge"), hedge);
        }
        document
    }

    /// What to send as `$readPreference` with a read on a server of `server_type`, by OP_MSG;
    /// `None` for no such field (SS-21, SS-42).
    pub fn document_for(
        &self,
        topology_type: TopologyType,
        server_type: ServerType,
    ) -> Option<RawDocumentBuf> {
        let primary = self.mode == ReadPreferenceMode::Primary;
        match (topology_type, server_type) {
            (TopologyType::Single, ServerType::Standalone) => None,
            (TopologyType::Single, ServerType::Mongos) if primary => None,
            // A direct connection reads whatever the server is.
            (TopologyType::Single, _) if primary => Some(Self::primary_preferred().to_document()),
            _ if primary => None,
            _ => Some(self.to_document()),
        }
    }
}

/// Whether mongos may hedge a read (server-selection "hedge"); by default it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hedge {
    /// Whether it may.
    pub enabled: bool,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl fmt::Display for ReadPreference {
    /// `secondary, tags [{dc: ny}], maxStalenessSeconds 120`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.mode)?;
        if !self.tag_sets.is_empty() {
            f.write_str(", tags [")?;
            for (i, set) in self.tag_sets.iter().enumerate() {
                f.write_str(if i == 0 { "" } else { ", " })?;
                write_tag_set(f, set)?;
            }
            f.write_str("]")?;
        }
        if let Some(limit) = self.max_staleness {
            write!(f, ", maxStalenessSeconds {}", limit.as_secs())?;
        }
        Ok(())
    }
}

/// Whether an operation changes data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Reads, and commands whose effect is unknown.
    Read,
    /// Changes data: goes to the primary.
    Write,
    /// Writes what it has read ($out, $merge): see [`Criteria::resolved`].
    Output,
}

/// A user's own rule: what it leaves in the list of suitable servers stays suitable. Applied before
/// the latency window (SS-06).
pub type ServerSelector = dyn Fn(&mut Vec<&Arc<ServerDescription>>) + Send + Sync;

/// One operation's question: which server?
#[derive(Clone, Copy)]
pub struct Criteria<'a> {
    /// Read or write.
    pub operation: OperationKind,
    /// Which members may serve a read; ignored for writes.
    pub read_preference: &'a ReadPreference,
    /// Servers to avoid while others are suitable: those that this operation failed on.
    pub deprioritized: &'a [ServerAddress],
    /// Servers that must not be chosen, even where no other is there.
    pub excluded: &'a [ServerAddress],
    /// Only servers that have written up to this moment, by their own word, while there are any.
    pub min_cluster_time: Option<Timestamp>,
    /// How much slower than the fastest suitable server a server may be.
    pub local_threshold: Duration,
    /// The client's heartbeat interval, part of the estimate of staleness.
    pub heartbeat_frequency: Duration,
    /// The user's own rule.
    pub server_selector: Option<&'a ServerSelector>,
}

static PRIMARY: ReadPreference = ReadPreference::PRIMARY;

impl<'a> Criteria<'a> {
    /// A read with the default thresholds: 15 ms, heartbeats every 10 s.
    pub fn read(read_preference: &'a ReadPreference) -> Self {
        Self {
            operation: OperationKind::Read,
            read_preference,
            deprioritized: &[],
            excluded: &[],
            min_cluster_time: None,
            local_threshold: Duration::from_millis(15),
            heartbeat_frequency: Duration::from_secs(10),
            server_selector: None,
        }
    }

    /// A write with the default thresholds.
    pub fn write() -> Self {
        Self { operation: OperationKind::Write, ..Self::read(&PRIMARY) }
    }
}

impl fmt::Debug for Criteria<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Criteria({self})")
    }
}

impl fmt::Display for Criteria<'_> {
    /// `a write`, `a read with read preference secondary`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.operation {
            OperationKind::Write => f.write_str("a write"),
            OperationKind::Read => {
                write!(f, "a read with read preference {}", self.read_preference)
            }
            OperationKind::Output => {
                write!(f, "a write of results with read preference {}", self.read_preference)
            }
        }
    }
}

/// Why no server can ever be selected, however long one waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectionError {
    /// A server speaks no wire version that this driver speaks; the text says which.
    Incompatible(String),
    /// A tag's name has a NUL character, which no BSON key may have.
    NulInTag,
    /// Tags make no sense where only the primary may serve.
    TagsWithPrimary,
    /// A limit of staleness makes no sense where only the primary may serve.
    StalenessWithPrimary,
    /// The limit is below what a client can measure.
    StalenessTooSmall {
        /// The limit given.
        given: Duration,
        /// The least limit allowed with this heartbeat interval.
        least: Duration,
    },
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incompatible(text) => f.write_str(text),
            Self::NulInTag => f.write_str("a tag's name must not contain a NUL character"),
            Self::TagsWithPrimary => f.write_str(
                "read preference primary takes no tag sets; choose another mode or leave them out",
            ),
            Self::StalenessWithPrimary => f.write_str(
                "read preference primary takes no maxStalenessSeconds; choose another mode or \
                 leave it out",
            ),
            Self::StalenessTooSmall { given, least } => write!(
                f,
                "maxStalenessSeconds is {}, which cannot be measured; it must be at least {} \
                 (90 s, and 10 s more than heartbeatFrequencyMS)",
                Span(*given),
                Span(*least),
            ),
        }
    }
}

impl std::error::Error for SelectionError {}

#[cfg(test)]
mod tests {
    use super::*;
    use bson::doc;

    fn document(preference: &ReadPreference) -> bson::Document {
        bson::Document::try_from(preference.to_document()).unwrap()
    }

    #[test]
    fn modes_read_back_what_they_write() {
        for mode in ReadPreferenceMode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(mode));
        }
        let error = "Secondary".parse::<ReadPreferenceMode>().unwrap_err().to_string();
        assert!(error.contains("\"Secondary\"") && error.contains("secondary,"), "{error}");
    }

    // SS-23, MS-10
    #[test]
    fn the_document_has_only_what_is_set() {
        assert_eq!(document(&ReadPreference::nearest()), doc! {"mode": "nearest"});
        let all = ReadPreference {
            hedge: Some(true),
            ..ReadPreference::secondary()
                .with_tags([("dc", "ny")])
                .with_tags([("", ""); 0])
                .with_max_staleness(Duration::from_secs(120))
        };
        assert_eq!(
            document(&all),
            doc! {"mode": "secondary", "tags": [{"dc": "ny"}, {}], "maxStalenessSeconds": 120,
            "hedge": {"enabled": true}}
        );
        let primary = ReadPreference { hedge: Some(true), ..ReadPreference::PRIMARY };
        assert_eq!(document(&primary), doc! {"mode": "primary"});
    }

    // SS-19: the compiler warns whoever calls the builder, hence the `expect`.
    #[test]
    #[expect(deprecated)]
    fn hedge_is_sent_when_it_is_set_and_is_on_by_default() {
        let sent = |preference: ReadPreference| document(&preference).get("hedge").cloned();
        assert_eq!(sent(ReadPreference::nearest()), None);
        let set = |hedge| sent(ReadPreference::nearest().with_hedge(hedge));
        assert_eq!(set(Hedge::default()), Some(doc! {"enabled": true}.into()));
        assert_eq!(set(Hedge { enabled: false }), Some(doc! {"enabled": false}.into()));
    }

    // SS-21, SS-42
    #[test]
    fn what_is_sent_depends_on_topology_and_server() {
        use ServerType as S;
        use TopologyType as T;
        let mode = |preference: &ReadPreference, t, s| {
            preference.document_for(t, s).map(|d| d.get_str("mode").unwrap().to_owned())
        };
        let (primary, secondary) = (ReadPreference::PRIMARY, ReadPreference::secondary());
        assert_eq!(mode(&primary, T::Single, S::Standalone), None);
        assert_eq!(mode(&secondary, T::Single, S::Standalone), None);
        assert_eq!(mode(&primary, T::Single, S::Mongos), None);
        assert_eq!(mode(&secondary, T::Single, S::Mongos).as_deref(), Some("secondary"));
        assert_eq!(mode(&primary, T::Single, S::RSSecondary).as_deref(), Some("primaryPreferred"));
        assert_eq!(mode(&secondary, T::Single, S::RSPrimary).as_deref(), Some("secondary"));
        for (t, s) in [
            (T::Sharded, S::Mongos),
            (T::LoadBalanced, S::LoadBalancer),
            (T::ReplicaSetWithPrimary, S::RSPrimary),
            (T::ReplicaSetNoPrimary, S::RSSecondary),
        ] {
            assert_eq!(mode(&primary, t, s), None);
            assert_eq!(mode(&secondary, t, s).as_deref(), Some("secondary"));
        }
    }

    // SS-14, SS-17
    #[test]
    fn primary_goes_with_nothing() {
        let tags = ReadPreference::primary().with_tags([("dc", "ny")]);
        assert_eq!(tags.validate(), Err(SelectionError::TagsWithPrimary));
        let stale = ReadPreference::primary().with_max_staleness(Duration::from_secs(120));
        assert_eq!(stale.validate(), Err(SelectionError::StalenessWithPrimary));
        let empty = ReadPreference::primary().with_tags([("", ""); 0]);
        assert_eq!(empty.validate(), Ok(()));
    }
}
