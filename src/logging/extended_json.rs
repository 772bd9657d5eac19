//! Relaxed extended JSON for people, written no further than it will be shown.
//!
//! Specification: logging "Representing Documents in Log Messages", "Truncation of large
//! documents".

use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bson::{RawBsonRef, RawDocument};

/// `document` in at most `max` characters; what is left out is three dots.
pub(super) fn write(document: &RawDocument, max: usize) -> String {
    let mut writer = Writer { text: String::new(), max };
    writer.document(document);
    cut(writer.text, max)
}

/// `text`, its end replaced by three dots where it has more than `max` characters.
pub(super) fn cut(mut text: String, max: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

struct Writer {
    text: String,
    max: usize,
}

impl Writer {
    /// Bytes are never fewer than characters.
    fn is_full(&self) -> bool {
        self.text.len() > self.max.saturating_mul(4)
    }

    fn document(&mut self, document: &RawDocument) {
        self.text.push('{');
        let mut separator = "";
        for element in document {
            // A document that breaks off was refused long before.
            let Ok((key, value)) = element else { break };
            self.text.push_str(separator);
            self.string(key.as_str());
            self.text.push_str(": ");
            self.value(value);
            separator = ", ";
            if self.is_full() {
                return;
            }
        }
        self.text.push('}');
    }

    fn value(&mut self, value: RawBsonRef<'_>) {
        match value {
            RawBsonRef::Document(document) => self.document(document),
            RawBsonRef::Array(array) => {
                self.text.push('[');
                for (index, value) in array.into_iter().map_while(Result::ok).enumerate() {
                    self.text.push_str(if index == 0 { "" } else { ", " });
                    self.value(value);
                    if self.is_full() {
                        return;
                    }
                }
                self.text.push(']');
            }
            RawBsonRef::String(text) => self.string(text),
            RawBsonRef::Boolean(value) => self.plain(value),
            RawBsonRef::Int32(value) => self.plain(value),
            RawBsonRef::Int64(value) => self.plain(value),
            RawBsonRef::Null => self.plain("null"),
            RawBsonRef::Double(value) if value.is_finite() => {
                let _ = write!(self.text, "{value:?}");
            }
            other => self.wrapped(other),
        }
    }

    /// What JSON has no form of its own for.
    fn wrapped(&mut self, value: RawBsonRef<'_>) {
        match value {
            RawBsonRef::Double(value) => {
                let name = match value {
                    f64::INFINITY => "Infinity",
                    f64::NEG_INFINITY => "-Infinity",
                    _ => "NaN",
                };
                self.wrap("$numberDouble", name);
            }
            RawBsonRef::ObjectId(id) => self.wrap("$oid", &id.to_hex()),
            RawBsonRef::Decimal128(value) => self.wrap("$numberDecimal", &value.to_string()),
            RawBsonRef::Symbol(text) => self.wrap("$symbol", text),
            RawBsonRef::JavaScriptCode(code) => self.wrap("$code", code),
            RawBsonRef::DateTime(date) => match date.try_to_rfc3339_string() {
                Ok(text) if date.timestamp_millis() >= 0 => self.wrap("$date", &text),
                _ => {
                    let millis = date.timestamp_millis();
                    let _ = write!(self.text, r#"{{"$date": {{"$numberLong": "{millis}"}}}}"#);
                }
            },
            RawBsonRef::Timestamp(stamp) => {
                let (time, increment) = (stamp.time, stamp.increment);
                let _ = write!(self.text, r#"{{"$timestamp": {{"t": {time}, "i": {increment}}}}}"#);
            }
            RawBsonRef::Binary(binary) => {
                let bytes = BASE64_STANDARD.encode(binary.bytes);
                let subtype = u8::from(binary.subtype);
                let _ = write!(
                    self.text,
                    r#"{{"$binary": {{"base64": "{bytes}", "subType": "{subtype:02x}"}}}}"#
                );
            }
            RawBsonRef::RegularExpression(regex) => {
                self.text.push_str(r#"{"$regularExpression": {"pattern": "#);
                self.string(regex.pattern.as_str());
                self.text.push_str(r#", "options": "#);
                self.string(regex.options.as_str());
                self.text.push_str("}}");
            }
            RawBsonRef::JavaScriptCodeWithScope(code) => {
                self.text.push_str(r#"{"$code": "#);
                self.string(code.code);
                self.text.push_str(r#", "$scope": "#);
                self.document(code.scope);
                self.text.push('}');
            }
            RawBsonRef::MinKey => self.plain(r#"{"$minKey": 1}"#),
            RawBsonRef::MaxKey => self.plain(r#"{"$maxKey": 1}"#),
            RawBsonRef::Undefined => self.plain(r#"{"$undefined": true}"#),
            // Deprecated for ages; its parts are private to the BSON library.
            other => self.string(&format!("{other:?}")),
        }
    }

    fn wrap(&mut self, key: &str, value: &str) {
        self.text.push('{');
        self.string(key);
        self.text.push_str(": ");
        self.string(value);
        self.text.push('}');
    }

    fn plain(&mut self, value: impl std::fmt::Display) {
        let _ = write!(self.text, "{value}");
    }

    fn string(&mut self, text: &str) {
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                control if u32::from(control) < 0x20 => {
                    let _ = write!(self.text, "\\u{:04x}", u32::from(control));
                }
                other => self.text.push(other),
            }
        }
        self.text.push('"');
    }
}

#[cfg(test)]
mod tests {
    use bson::oid::ObjectId;
    use bson::{Bson, DateTime, Document, RawDocumentBuf, Timestamp, doc, rawdoc};

    use super::*;

    #[test]
    fn what_is_written_can_be_read_again() {
        let document = doc! {
            "a": 1, "b": 2_i64, "c": 1.5, "d": "x\"\\\n\u{1}é",
            "e": [true, Bson::Null, { "f": {} }],
            "g": ObjectId::from_bytes([7; 12]),
            "h": DateTime::from_millis(1_500), "i": DateTime::from_millis(-1),
            "j": Timestamp { time: 1, increment: 2 },
            "k": bson::Binary { subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![1; 16] },
            "l": bson::Regex {
                pattern: bson::raw::CString::try_from("^a").unwrap(),
                options: bson::raw::CString::try_from("i").unwrap(),
            },
            "m": Bson::MinKey, "n": f64::INFINITY, "o": 3.0,
        };
        let raw = RawDocumentBuf::try_from(&document).unwrap();
        let value: serde_json::Value = serde_json::from_str(&write(&raw, 10_000)).unwrap();
        let mut read = Document::try_from(value.as_object().unwrap().clone()).unwrap();
        // Relaxed JSON does not tell 2 from 2_i64.
        read.insert("b", 2_i64);
        assert_eq!(read, document);
    }

    #[test]
    fn a_long_document_is_cut_at_a_character() {
        let document = rawdoc! { "text": "éééééééééé" };
        assert_eq!(write(&document, 12), "{\"text\": \"éé...");
        assert_eq!(write(&rawdoc! {}, 2), "{}");
        let long = RawDocumentBuf::try_from(&doc! { "list": vec![1; 100_000] }).unwrap();
        assert_eq!(write(&long, 20).chars().count(), 23);
    }
}
