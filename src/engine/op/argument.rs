//! What users give: documents and values that become arguments of a command.

use bson::raw::{BindRawBsonRef, CStr};
use bson::{Bson, Document, RawArrayBuf, RawBson, RawBsonRef, RawDocumentBuf};

use super::BuildError;

/// An argument of a command, in the bytes that are sent.
///
/// It is written when it is given, once for all attempts. What cannot be written (a key with a zero
/// byte) is an error of the operation, [`BuildError::BadBson`].
#[derive(Clone, Debug, PartialEq)]
pub struct Argument<T>(Result<T, String>);

/// A document: a filter, a sort order, a projection.
pub type DocumentArgument = Argument<RawDocumentBuf>;
/// Any value: a comment.
pub type ValueArgument = Argument<RawBson>;
/// Several documents: the stages of a pipeline, array filters.
pub type ArrayArgument = Argument<RawArrayBuf>;

impl<T> Argument<T> {
    /// What is sent.
    ///
    /// # Errors
    ///
    /// [`BuildError::BadBson`].
    pub fn get(&self) -> Result<&T, BuildError> {
        self.0.as_ref().map_err(|text| BuildError::BadBson(text.clone()))
    }

    /// What becomes of it.
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Argument<U> {
        Argument(self.0.map(f))
    }

    fn written(written: bson::error::Result<T>) -> Self {
        Self(written.map_err(|error| error.to_string()))
    }
}

impl From<RawDocumentBuf> for DocumentArgument {
    fn from(document: RawDocumentBuf) -> Self {
        Self(Ok(document))
    }
}

impl From<Document> for DocumentArgument {
    fn from(document: Document) -> Self {
        Self::written(raw_document(&document))
    }
}

impl<T: Into<Bson>> From<T> for ValueArgument {
    fn from(value: T) -> Self {
        Self::written(RawBson::try_from(value.into()))
    }
}

impl<D: Into<DocumentArgument>> FromIterator<D> for ArrayArgument {
    fn from_iter<I: IntoIterator<Item = D>>(documents: I) -> Self {
        let mut array = RawArrayBuf::new();
        for document in documents {
            match document.into().0 {
                Ok(document) => array.push(document),
                Err(error) => return Self(Err(error)),
            }
        }
        Self(Ok(array))
    }
}

impl<D: Into<DocumentArgument>> From<Vec<D>> for ArrayArgument {
    fn from(documents: Vec<D>) -> Self {
        documents.into_iter().collect()
    }
}

impl From<RawArrayBuf> for ArrayArgument {
    fn from(array: RawArrayBuf) -> Self {
        Self(Ok(array))
    }
}

/// Appends an argument that is there.
pub(super) fn append<T>(
    into: &mut RawDocumentBuf,
    key: &CStr,
    value: Option<&Argument<T>>,
) -> Result<(), BuildError>
where
    for<'a> &'a T: BindRawBsonRef,
{
    if let Some(value) = value {
        into.append(key, value.get()?);
    }
    Ok(())
}

/// A document as raw BSON; one of scalars, as most filters are, with a single allocation.
fn raw_document(document: &Document) -> bson::error::Result<RawDocumentBuf> {
    if !document.values().all(|value| scalar(value).is_some()) {
        return RawDocumentBuf::try_from(document);
    }
    let mut bytes = Vec::with_capacity(USUAL_DOCUMENT);
    bytes.extend_from_slice(&EMPTY);
    let mut raw = RawDocumentBuf::from_bytes(bytes)?;
    for (key, value) in document {
        if let Some(value) = scalar(value) {
            raw.append(<&CStr>::try_from(key.as_str())?, value);
        }
    }
    Ok(raw)
}

/// The value, where it is of the kinds that filters are mostly made of.
fn scalar(value: &Bson) -> Option<RawBsonRef<'_>> {
    Some(match value {
        Bson::Double(value) => RawBsonRef::Double(*value),
        Bson::String(value) => RawBsonRef::String(value),
        Bson::Boolean(value) => RawBsonRef::Boolean(*value),
        Bson::Null => RawBsonRef::Null,
        Bson::Int32(value) => RawBsonRef::Int32(*value),
        Bson::Int64(value) => RawBsonRef::Int64(*value),
        Bson::ObjectId(value) => RawBsonRef::ObjectId(*value),
        Bson::DateTime(value) => RawBsonRef::DateTime(*value),
        _ => return None,
    })
}

/// Most filters fit without a second allocation.
const USUAL_DOCUMENT: usize = 64;

/// The bytes of the empty document.
pub(super) const EMPTY: [u8; 5] = [5, 0, 0, 0, 0];

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    #[test]
    fn a_document_of_scalars_has_the_same_bytes_either_way() {
        let scalars = doc! {
            "a": 1, "b": 2_i64, "c": 0.5, "d": "text", "e": true, "f": Bson::Null,
            "g": bson::oid::ObjectId::from_bytes([3; 12]),
            "h": bson::DateTime::from_millis(-5),
        };
        let nested = doc! { "a": 1, "b": { "$in": [1, 2] } };
        for document in [doc! {}, scalars, nested] {
            let expected = RawDocumentBuf::try_from(&document).unwrap();
            assert_eq!(raw_document(&document).unwrap(), expected);
        }
        assert!(raw_document(&doc! { "a\0b": 1 }).is_err());
    }

    #[test]
    fn what_cannot_be_sent_is_an_error_of_the_operation() {
        let bad = || doc! { "a\0b": 1 };
        let document = DocumentArgument::from(bad());
        assert!(matches!(document.get(), Err(BuildError::BadBson(_))));
        assert!(ValueArgument::from(bad()).get().is_err());
        let array = ArrayArgument::from(vec![doc! {}, bad(), doc! {}]);
        assert!(array.get().is_err());
        let mut into = RawDocumentBuf::new();
        assert!(append(&mut into, bson::raw::cstr!("filter"), Some(&document)).is_err());
        assert!(into.is_empty());
    }

    #[test]
    fn documents_and_their_bytes_are_the_same_argument() {
        let (document, raw) = (doc! { "a": { "b": [1] } }, bson::rawdoc! { "a": { "b": [1] } });
        assert_eq!(DocumentArgument::from(document.clone()), raw.clone().into());
        assert_eq!(ArrayArgument::from(vec![document]), vec![raw].into());
        assert_eq!(ValueArgument::from("x").get().unwrap().as_str(), Some("x"));
    }
}
