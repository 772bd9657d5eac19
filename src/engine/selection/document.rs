//! Reading a `$readPreference` document as the server reads one, with the server's error codes.
//!
//! [`ReadPreference::from_document`] and [`ReadPreference::to_document`] are stable: what was read
//! once is written and read again as the same value. What the server's rules give no meaning
//! (`tags: [{}]`, a limit of zero, `hedge` switched off with mode primary) is left out. Unlike the
//! server, which takes any value for a tag, tags are texts here, as everywhere in this driver.

use std::fmt;
use std::time::Duration;

use bson::raw::{RawBsonRef, cstr};
use bson::{RawDocument, RawDocumentBuf};

use super::criteria::{ReadPreference, ReadPreferenceMode, TagSet};
use super::staleness::SMALLEST_MAX_STALENESS;

/// What kind of mistake a `$readPreference` document has: the server's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPreferenceErrorKind {
    /// A value has another BSON type than it must have.
    TypeMismatch,
    /// A value is out of its range, or does not go with the mode.
    BadValue,
    /// There is no `mode`, or the document is broken.
    FailedToParse,
    /// Options that make no sense here.
    InvalidOptions,
    /// A limit of staleness that no client can measure.
    MaxStalenessOutOfRange,
}

impl ReadPreferenceErrorKind {
    /// The server's code.
    pub const fn code(self) -> i32 {
        match self {
            Self::BadValue => 2,
            Self::FailedToParse => 9,
            Self::TypeMismatch => 14,
            Self::InvalidOptions => 72,
            Self::MaxStalenessOutOfRange => 160,
        }
    }

    /// The server's name of the code.
    pub const fn code_name(self) -> &'static str {
        match self {
            Self::BadValue => "BadValue",
            Self::FailedToParse => "FailedToParse",
            Self::TypeMismatch => "TypeMismatch",
            Self::InvalidOptions => "InvalidOptions",
            Self::MaxStalenessOutOfRange => "MaxStalenessOutOfRange",
        }
    }
}

/// A document that is no read preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPreferenceError {
    kind: ReadPreferenceErrorKind,
    message: String,
}

impl ReadPreferenceError {
    fn new(kind: ReadPreferenceErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    fn wrong_type(field: &str, wanted: &str, found: RawBsonRef<'_>) -> Self {
        let found = found.element_type();
        let message = format!("{field} must be {wanted}, and is of type {found:?}");
        Self::new(ReadPreferenceErrorKind::TypeMismatch, message)
    }

    fn broken(error: &bson::error::Error) -> Self {
        let message = format!("the read preference is no readable BSON: {error}");
        Self::new(ReadPreferenceErrorKind::FailedToParse, message)
    }

    /// What kind of mistake it is.
    pub fn kind(&self) -> ReadPreferenceErrorKind {
        self.kind
    }

    /// The server's error code for it.
    pub fn code(&self) -> i32 {
        self.kind.code()
    }

    /// What is wrong, for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ReadPreferenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.code_name(), self.message)
    }
}

impl std::error::Error for ReadPreferenceError {}

type Result<T> = std::result::Result<T, ReadPreferenceError>;

/// The field of a command that holds a read preference.
const FIELD: &str = "$readPreference";

impl ReadPreference {
    /// Reads the content of a `$readPreference` field. Fields that no read preference has are
    /// passed over; a field that is null is as one that is not there.
    ///
    /// # Errors
    ///
    /// No mode, a value of a wrong type or out of range, options that do not go together.
    pub fn from_document(document: &RawDocument) -> Result<Self> {
        let fields = Fields::of(document)?;
        let mode = mode(fields.mode)?;
        let preference = Self {
            mode,
            tag_sets: fields.tags.map_or(Ok(Vec::new()), tag_sets)?,
            max_staleness: fields.max_staleness.map_or(Ok(None), max_staleness)?,
            hedge: fields.hedge.map_or(Ok(None), |value| hedge(mode, value))?,
        };
        if let Some(value) = fields.is_pretargeted {
            return Err(pretargeted(value));
        }
        if mode == ReadPreferenceMode::Primary {
            goes_with_primary(&preference)?;
        }
        Ok(preference)
    }

    /// The read preference of a whole command: its `$readPreference`, or primary without one.
    ///
    /// # Errors
    ///
    /// As [`from_document`](Self::from_document); a `$readPreference` that is no document.
    pub fn of_command(command: &RawDocument) -> Result<Self> {
        let value = command.get(FIELD).map_err(|error| ReadPreferenceError::broken(&error))?;
        match value {
            None => Ok(Self::PRIMARY),
            Some(RawBsonRef::Document(document)) => Self::from_document(document),
            Some(other) => Err(ReadPreferenceError::wrong_type(FIELD, "a document", other)),
        }
    }

    /// Writes `$readPreference` into a command; nothing where it is the default, primary.
    pub fn append_to(&self, command: &mut RawDocumentBuf) {
        if self.mode != ReadPreferenceMode::Primary {
            command.append(cstr!("$readPreference"), self.to_document());
        }
    }
}

/// The fields as they came.
#[derive(Default)]
struct Fields<'d> {
    mode: Option<RawBsonRef<'d>>,
    tags: Option<RawBsonRef<'d>>,
    max_staleness: Option<RawBsonRef<'d>>,
    hedge: Option<RawBsonRef<'d>>,
    is_pretargeted: Option<RawBsonRef<'d>>,
}

impl<'d> Fields<'d> {
    fn of(document: &'d RawDocument) -> Result<Self> {
        let mut fields = Self::default();
        for element in document {
            let (name, value) = element.map_err(|error| ReadPreferenceError::broken(&error))?;
            let field = match name.as_str() {
                "mode" => &mut fields.mode,
                "tags" => &mut fields.tags,
                "maxStalenessSeconds" => &mut fields.max_staleness,
                "hedge" => &mut fields.hedge,
                "$_isPretargeted" => &mut fields.is_pretargeted,
                _ => continue,
            };
            *field = Some(value).filter(|value| !is_null(*value));
        }
        Ok(fields)
    }
}

fn is_null(value: RawBsonRef<'_>) -> bool {
    matches!(value, RawBsonRef::Null | RawBsonRef::Undefined)
}

fn mode(value: Option<RawBsonRef<'_>>) -> Result<ReadPreferenceMode> {
    match value {
        None => Err(ReadPreferenceError::new(
            ReadPreferenceErrorKind::FailedToParse,
            "a read preference must have a mode",
        )),
        Some(RawBsonRef::String(text)) => text.parse().map_err(|error| {
            ReadPreferenceError::new(ReadPreferenceErrorKind::BadValue, format!("mode {error}"))
        }),
        Some(other) => Err(ReadPreferenceError::wrong_type("mode", "a string", other)),
    }
}

fn tag_sets(value: RawBsonRef<'_>) -> Result<Vec<TagSet>> {
    let RawBsonRef::Array(array) = value else {
        return Err(ReadPreferenceError::wrong_type("tags", "an array of documents", value));
    };
    let mut sets = Vec::new();
    for set in array {
        match set.map_err(|error| ReadPreferenceError::broken(&error))? {
            RawBsonRef::Document(set) => sets.push(tag_set(set)?),
            other => {
                return Err(ReadPreferenceError::wrong_type("each of tags", "a document", other));
            }
        }
    }
    // IC-100: one set that every server has is the same as none.
    if matches!(&sets[..], [only] if only.is_empty()) {
        sets.clear();
    }
    Ok(sets)
}

fn tag_set(document: &RawDocument) -> Result<TagSet> {
    let mut set = TagSet::new();
    for element in document {
        let (name, value) = element.map_err(|error| ReadPreferenceError::broken(&error))?;
        let RawBsonRef::String(text) = value else {
            let field = format!("tag {}", name.as_str());
            return Err(ReadPreferenceError::wrong_type(&field, "a string", value));
        };
        set.insert(name.as_str().to_owned(), text.to_owned());
    }
    Ok(set)
}

fn max_staleness(value: RawBsonRef<'_>) -> Result<Option<Duration>> {
    let seconds = match value {
        RawBsonRef::Int32(seconds) => i64::from(seconds),
        RawBsonRef::Int64(seconds) => seconds,
        // Saturates, and has zero for what is no number: as the server converts.
        RawBsonRef::Double(seconds) => seconds as i64,
        other => {
            return Err(ReadPreferenceError::wrong_type("maxStalenessSeconds", "a number", other));
        }
    };
    let refuse = |kind, rule: &str| {
        let message = format!("maxStalenessSeconds is {seconds}, and {rule}");
        Err(ReadPreferenceError::new(kind, message))
    };
    let least = SMALLEST_MAX_STALENESS.as_secs();
    match u32::try_from(seconds) {
        Ok(0) => Ok(None),
        Ok(few) if u64::from(few) < least => refuse(
            ReadPreferenceErrorKind::MaxStalenessOutOfRange,
            &format!("cannot be less than {least}"),
        ),
        Ok(seconds) if i32::try_from(seconds).is_ok() => {
            Ok(Some(Duration::from_secs(seconds.into())))
        }
        _ if seconds < 0 => refuse(ReadPreferenceErrorKind::BadValue, "cannot be negative"),
        _ => refuse(
            ReadPreferenceErrorKind::BadValue,
            &format!("cannot be greater than {}", i32::MAX),
        ),
    }
}

fn hedge(mode: ReadPreferenceMode, value: RawBsonRef<'_>) -> Result<Option<bool>> {
    let RawBsonRef::Document(document) = value else {
        return Err(ReadPreferenceError::wrong_type("hedge", "a document", value));
    };
    let enabled = document.get("enabled").map_err(|error| ReadPreferenceError::broken(&error))?;
    let enabled = match enabled.filter(|value| !is_null(*value)) {
        None => true,
        Some(RawBsonRef::Boolean(enabled)) => enabled,
        Some(other) => {
            return Err(ReadPreferenceError::wrong_type("hedge.enabled", "a boolean", other));
        }
    };
    match mode {
        ReadPreferenceMode::Primary if enabled => Err(ReadPreferenceError::new(
            ReadPreferenceErrorKind::InvalidOptions,
            "a read of the primary cannot be hedged",
        )),
        ReadPreferenceMode::Primary => Ok(None),
        _ => Ok(Some(enabled)),
    }
}

/// IC-71 is the server's word to itself: a client has no server of its own to read from.
fn pretargeted(value: RawBsonRef<'_>) -> ReadPreferenceError {
    let message = match value {
        RawBsonRef::Boolean(true) => {
            "$_isPretargeted is not supported here: it is a server's word for itself, and a client \
             is no server"
        }
        RawBsonRef::Boolean(false) => "$_isPretargeted cannot be false; leave it out",
        other => return ReadPreferenceError::wrong_type("$_isPretargeted", "a boolean", other),
    };
    ReadPreferenceError::new(ReadPreferenceErrorKind::InvalidOptions, message)
}

fn goes_with_primary(preference: &ReadPreference) -> Result<()> {
    let refuse =
        |message| Err(ReadPreferenceError::new(ReadPreferenceErrorKind::BadValue, message));
    if !preference.tag_sets.is_empty() {
        return refuse("read preference primary allows only empty tags");
    }
    if preference.max_staleness.is_some() {
        return refuse("read preference primary does not go with maxStalenessSeconds");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, doc, rawdoc};

    use super::ReadPreferenceErrorKind as Kind;
    use super::*;

    fn read(document: impl Into<bson::Document>) -> Result<ReadPreference> {
        ReadPreference::from_document(&RawDocumentBuf::try_from(document.into()).unwrap())
    }

    fn refused(document: bson::Document) -> (Kind, String) {
        let shown = document.to_string();
        let error = read(document).expect_err(&shown);
        (error.kind(), error.to_string())
    }

    // IC-97, IC-98
    #[test]
    fn mode_is_needed_and_types_are_checked() {
        assert_eq!(read(doc! {"mode": "nearest"}), Ok(ReadPreference::nearest()));
        let ignored = doc! {"mode": "secondary", "fnord": 1, "hedgehog": [], "tags": null};
        assert_eq!(read(ignored), Ok(ReadPreference::secondary()));
        assert_eq!(refused(doc! {}).0, Kind::FailedToParse);
        let (kind, text) = refused(doc! {"mode": "Nearest"});
        assert_eq!(kind, Kind::BadValue);
        assert!(text.contains("\"Nearest\"") && text.contains("secondaryPreferred"), "{text}");
        for wrong in [
            doc! {"mode": 1},
            doc! {"mode": "nearest", "tags": {}},
            doc! {"mode": "nearest", "tags": [1]},
            doc! {"mode": "nearest", "tags": [{"dc": 1}]},
            doc! {"mode": "nearest", "maxStalenessSeconds": "120"},
            doc! {"mode": "nearest", "hedge": true},
            doc! {"mode": "nearest", "hedge": {"enabled": 1}},
            doc! {"mode": "nearest", "$_isPretargeted": 1},
        ] {
            assert_eq!(refused(wrong.clone()).0, Kind::TypeMismatch, "{wrong}");
        }
        let command = rawdoc! {"find": "till", "$readPreference": "primary"};
        let error = ReadPreference::of_command(&command).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::TypeMismatch, 14));
        let broken = ReadPreference::from_document(
            RawDocument::from_bytes(b"\x0b\0\0\0\x02mode\0\0").unwrap(),
        );
        assert_eq!(broken.unwrap_err().kind(), Kind::FailedToParse);
    }

    // IC-99, IC-101
    #[test]
    fn primary_takes_no_tags_and_no_limit() {
        for empty in [doc! {"mode": "primary", "tags": []}, doc! {"mode": "primary", "tags": [{}]}]
        {
            assert_eq!(read(empty), Ok(ReadPreference::PRIMARY));
        }
        let (kind, text) = refused(doc! {"mode": "primary", "tags": [{"dc": "ny"}]});
        assert_eq!(kind, Kind::BadValue);
        assert_eq!(text, "BadValue: read preference primary allows only empty tags");
        let limited = doc! {"mode": "primary", "maxStalenessSeconds": 120};
        assert_eq!(refused(limited).0, Kind::BadValue);
        let none = doc! {"mode": "primary", "maxStalenessSeconds": 0};
        assert_eq!(read(none), Ok(ReadPreference::PRIMARY));
    }

    // IC-100
    #[test]
    fn tags_keep_their_order() {
        for none in [doc! {"mode": "nearest", "tags": []}, doc! {"mode": "nearest", "tags": [{}]}] {
            assert_eq!(read(none), Ok(ReadPreference::nearest()));
        }
        let tags =
            doc! {"mode": "nearest", "tags": [{"dc": "sf"}, {"dc": "ny", "disk": "ssd"}, {}]};
        let expected = ReadPreference::nearest()
            .with_tags([("dc", "sf")])
            .with_tags([("dc", "ny"), ("disk", "ssd")])
            .with_tags([("", ""); 0]);
        assert_eq!(read(tags), Ok(expected));
    }

    // IC-81, IC-102
    #[test]
    fn the_limit_of_staleness_has_a_range() {
        let limit = |value: bson::Bson| {
            read(doc! {"mode": "secondary", "maxStalenessSeconds": value}).map(|p| p.max_staleness)
        };
        let kind = |value: bson::Bson| limit(value).unwrap_err().kind();
        assert_eq!(limit(0.into()), Ok(None));
        for ok in [90.into(), 90_i64.into(), 90.9.into()] {
            assert_eq!(limit(ok), Ok(Some(Duration::from_secs(90))));
        }
        for small in [1, 89] {
            let error = limit(small.into()).unwrap_err();
            assert_eq!((error.kind(), error.code()), (Kind::MaxStalenessOutOfRange, 160));
            assert!(error.message().contains("cannot be less than 90"), "{error}");
        }
        assert_eq!(limit(i32::MAX.into()), Ok(Some(Duration::from_secs(i32::MAX as u64))));
        for bad in [(-1).into(), (i64::from(i32::MAX) + 1).into(), i64::MAX.into(), 1e300.into()] {
            assert_eq!(kind(bad), Kind::BadValue);
        }
    }

    // IC-103
    #[test]
    fn hedge_is_on_where_it_is_named() {
        let hedge = |mode: &str, hedge| read(doc! {"mode": mode, "hedge": hedge}).map(|p| p.hedge);
        assert_eq!(read(doc! {"mode": "nearest"}).unwrap().hedge, None);
        assert_eq!(hedge("nearest", doc! {}), Ok(Some(true)));
        assert_eq!(hedge("nearest", doc! {"enabled": false}), Ok(Some(false)));
        for on in [doc! {}, doc! {"enabled": true}] {
            let error = hedge("primary", on).unwrap_err();
            assert_eq!((error.kind(), error.code()), (Kind::InvalidOptions, 72));
        }
        assert_eq!(hedge("primary", doc! {"enabled": false}), Ok(None));
    }

    // IC-71, IC-104
    #[test]
    fn pretargeted_is_refused_with_a_reason() {
        let (kind, text) = refused(doc! {"mode": "nearest", "$_isPretargeted": false});
        assert_eq!(kind, Kind::InvalidOptions, "{text}");
        let (kind, text) = refused(doc! {"mode": "nearest", "$_isPretargeted": true});
        assert_eq!(kind, Kind::InvalidOptions);
        assert!(text.contains("not supported here"), "{text}");
    }

    // IC-105
    #[test]
    fn what_is_written_reads_back_as_the_same() {
        for document in [
            doc! {"mode": "primary"},
            doc! {"mode": "primary", "tags": [{}], "hedge": {"enabled": false}},
            doc! {"mode": "primaryPreferred", "tags": [{"dc": "ny"}, {}]},
            doc! {"mode": "secondary", "maxStalenessSeconds": 120, "hedge": {}},
            doc! {"mode": "secondaryPreferred", "maxStalenessSeconds": i32::MAX, "tags": [{}]},
            doc! {"mode": "nearest", "hedge": {"enabled": false}, "unknown": 1},
        ] {
            let first = read(document).unwrap();
            let written = first.to_document();
            let second = ReadPreference::from_document(&written).unwrap();
            assert_eq!((&first, &written), (&second, &second.to_document()));
            let mut command = rawdoc! {"find": "till"};
            first.append_to(&mut command);
            let primary = first.mode == ReadPreferenceMode::Primary;
            assert_eq!(command.get(FIELD).unwrap().is_none(), primary);
            assert_eq!(ReadPreference::of_command(&command), Ok(first));
        }
    }
}
