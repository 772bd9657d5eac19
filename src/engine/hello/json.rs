//! BSON's own types in recordings and snapshots: their extended JSON, written and read directly.
//!
//! The text is that of bson's own serde implementations, canonical form. Those read any BSON type
//! wherever one of them may stand, by code that is instantiated for each: a third of the wasm
//! module.

use bson::oid::ObjectId;
use bson::{DateTime, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type with a JSON form of its own.
pub(crate) trait Json: Sized {
    /// What serde writes and reads in its place.
    type Shape: Serialize + for<'de> Deserialize<'de>;

    fn shape(&self) -> Self::Shape;

    /// # Errors
    ///
    /// What is wrong with the text.
    fn read(shape: Self::Shape) -> Result<Self, &'static str>;
}

pub(crate) fn serialize<T: Json, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.shape().serialize(serializer)
}

pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Json,
    D: Deserializer<'de>,
{
    T::read(T::Shape::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same for what may be absent: `#[serde(default, with = "json::optional")]`.
pub(crate) mod optional {
    use super::{Deserialize, Deserializer, Json, Serialize, Serializer};
    use serde::de::Error as _;

    pub(crate) fn serialize<T, S>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Json,
        S: Serializer,
    {
        value.as_ref().map(Json::shape).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: Json,
        D: Deserializer<'de>,
    {
        let shape = Option::<T::Shape>::deserialize(deserializer)?;
        shape.map(T::read).transpose().map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Oid {
    #[serde(rename = "$oid")]
    hex: String,
}

impl Json for ObjectId {
    type Shape = Oid;

    fn shape(&self) -> Oid {
        Oid { hex: self.to_hex() }
    }

    fn read(shape: Oid) -> Result<Self, &'static str> {
        Self::parse_str(&shape.hex).map_err(|_| "an ObjectId is 24 hexadecimal digits")
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Date {
    #[serde(rename = "$date")]
    date: Long,
}

#[derive(Serialize, Deserialize)]
struct Long {
    #[serde(rename = "$numberLong")]
    digits: String,
}

impl Json for DateTime {
    type Shape = Date;

    fn shape(&self) -> Date {
        Date { date: Long { digits: self.timestamp_millis().to_string() } }
    }

    fn read(shape: Date) -> Result<Self, &'static str> {
        let millis = shape.date.digits.parse();
        millis.map(Self::from_millis).map_err(|_| "$numberLong is no whole number")
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Stamp {
    #[serde(rename = "$timestamp")]
    stamp: StampBody,
}

#[derive(Serialize, Deserialize)]
struct StampBody {
    t: u32,
    i: u32,
}

impl Json for Timestamp {
    type Shape = Stamp;

    fn shape(&self) -> Stamp {
        Stamp { stamp: StampBody { t: self.time, i: self.increment } }
    }

    fn read(Stamp { stamp }: Stamp) -> Result<Self, &'static str> {
        Ok(Self { time: stamp.t, increment: stamp.i })
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    fn agrees_with_bson<T>(value: &T)
    where
        T: Json + Serialize + PartialEq + Debug + for<'de> Deserialize<'de>,
    {
        let ours = serde_json::to_string(&value.shape()).unwrap();
        assert_eq!(ours, serde_json::to_string(value).unwrap());
        let mut text = serde_json::Deserializer::from_str(&ours);
        assert_eq!(deserialize::<T, _>(&mut text).unwrap(), *value);
        let mut text = serde_json::Deserializer::from_str("null");
        assert_eq!(optional::deserialize::<T, _>(&mut text).unwrap(), None);
    }

    #[test]
    fn the_text_is_that_of_bson() {
        agrees_with_bson(&ObjectId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255]));
        for millis in [0, -1, 1_700_000_000_123, i64::MIN, i64::MAX] {
            agrees_with_bson(&DateTime::from_millis(millis));
        }
        agrees_with_bson(&Timestamp { time: u32::MAX, increment: 7 });
    }

    #[test]
    fn wrong_text_is_refused() {
        let read = |text| {
            let mut text = serde_json::Deserializer::from_str(text);
            deserialize::<ObjectId, _>(&mut text).map_err(|error| error.to_string())
        };
        let error = read(r#"{"$oid":"12"}"#).unwrap_err();
        assert!(error.contains("24 hexadecimal digits"), "{error}");
        assert!(read(r#""0102030405060708090a0bff""#).is_err());
        let mut text = serde_json::Deserializer::from_str(r#"{"$date":{"$numberLong":"x"}}"#);
        assert!(deserialize::<DateTime, _>(&mut text).is_err());
    }
}
