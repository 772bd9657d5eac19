//! The parts of a message's body: bounds-checked reading, and sequences of documents.

use std::ops::Range;

use bson::RawDocument;

use super::WireError;

/// A named sequence of documents (a section of kind 1).
///
/// The documents stay in one buffer as they came: however small they are, they cost no more memory
/// than their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentSequence {
    /// The command's argument that the documents are.
    pub identifier: String,
    documents: Vec<u8>,
}

impl DocumentSequence {
    /// Reads the documents that fill `bytes`.
    pub(super) fn parse(identifier: String, bytes: &[u8]) -> Result<Self, WireError> {
        let mut rest = Cursor::new(bytes);
        while rest.left() > 0 {
            rest.document()?;
        }
        Ok(Self { identifier, documents: bytes.to_vec() })
    }

    /// The documents, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &RawDocument> {
        let mut rest = Cursor::new(&self.documents);
        std::iter::from_fn(move || {
            let range = rest.document().ok()?;
            RawDocument::from_bytes(&self.documents[range]).ok()
        })
    }
}

/// Reads parts from the front of `bytes`; never beyond their end.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn take(&mut self, needed: usize) -> Result<Range<usize>, WireError> {
        if needed > self.left() {
            return Err(WireError::Truncated { needed, left: self.left() });
        }
        let start = self.at;
        self.at += needed;
        Ok(start..self.at)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        let range = self.take(1)?;
        Ok(self.bytes[range.start])
    }

    pub(super) fn i32(&mut self) -> Result<i32, WireError> {
        let range = self.take(4)?;
        let mut field = [0; 4];
        field.copy_from_slice(&self.bytes[range]);
        Ok(i32::from_le_bytes(field))
    }

    pub(super) fn i64(&mut self) -> Result<i64, WireError> {
        let range = self.take(8)?;
        let mut field = [0; 8];
        field.copy_from_slice(&self.bytes[range]);
        Ok(i64::from_le_bytes(field))
    }

    /// A text that ends with a zero byte.
    pub(super) fn cstring(&mut self) -> Result<&'a str, WireError> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == 0);
        let end = end.ok_or(WireError::Truncated { needed: rest.len() + 1, left: rest.len() })?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|error| WireError::BadBson(error.to_string()))
    }

    /// A length that counts its own four bytes; what it counts is the range of the answer.
    pub(super) fn counted(&mut self, least: usize) -> Result<Range<usize>, WireError> {
        let start = self.at;
        let length = self.i32()?;
        self.at = start;
        let length = usize::try_from(length).map_err(|_| WireError::Negative { length })?;
        if length < least {
            return Err(WireError::TooShort { length, least });
        }
        self.take(length)
    }

    /// A document, as far as its length and its end say.
    pub(super) fn document(&mut self) -> Result<Range<usize>, WireError> {
        let range = self.counted(MIN_DOCUMENT)?;
        RawDocument::from_bytes(&self.bytes[range.clone()])?;
        Ok(range)
    }
}

/// Bytes of the empty document.
const MIN_DOCUMENT: usize = 5;
