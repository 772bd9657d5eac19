//! Descriptions and events as JSON text.
//!
//! What they are made of is small, and nothing of it can fail: flags, numbers, texts, lists and
//! maps with names for keys. serde_json, which does more, is larger for each type that it writes.

use std::fmt::{Display, Write as _};

use js_sys::JSON;
use serde::ser::{self, Serialize, Serializer};
use wasm_bindgen::JsValue;

/// `value` as JSON text.
pub(crate) fn text(value: &impl Serialize) -> String {
    let mut writer = Writer(String::new());
    // Fails for what has no place in JSON only, and no description has such a part.
    let _ = value.serialize(&mut writer);
    writer.0
}

/// The text so far. Whether a comma is due follows from its last letter: nothing but the beginning
/// of a list or map ends with a bracket that opens, or with a colon.
struct Writer(String);

impl Writer {
    fn separate(&mut self) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }

    fn name(&mut self, name: &str) {
        self.separate();
        self.quote(name);
        self.0.push(':');
    }

    fn begin(&mut self, variant: &str, bracket: char) -> Result<&mut Self, Unwritable> {
        self.0.push('{');
        self.name(variant);
        self.0.push(bracket);
        Ok(self)
    }

    fn quote(&mut self, text: &str) {
        self.0.push('"');
        for letter in text.chars() {
            match letter {
                '"' | '\\' => self.0.extend(['\\', letter]),
                '\0'..'\u{20}' => self.shown(format_args!("\\u{:04x}", u32::from(letter))),
                _ => self.0.push(letter),
            }
        }
        self.0.push('"');
    }

    fn shown(&mut self, value: impl Display) {
        // Never fails: a string takes everything.
        let _ = write!(self.0, "{value}");
    }
}

/// There is no such thing in JSON.
#[derive(Debug)]
struct Unwritable;

impl Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("this is no JSON")
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

type Written = Result<(), Unwritable>;

/// Methods for types of numbers that are shown as they are.
macro_rules! whole_numbers {
    ($($method:ident $number:ty as $wide:ident),*) => {$(
        fn $method(self, number: $number) -> Written {
            self.$wide(number.into())
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    whole_numbers!(
        serialize_i8 i8 as serialize_i64,
        serialize_i16 i16 as serialize_i64,
        serialize_i32 i32 as serialize_i64,
        serialize_u8 u8 as serialize_u64,
        serialize_u16 u16 as serialize_u64,
        serialize_u32 u32 as serialize_u64,
        serialize_f32 f32 as serialize_f64
    );

    fn serialize_bool(self, flag: bool) -> Written {
        self.0.push_str(if flag { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i64(self, number: i64) -> Written {
        self.shown(number);
        Ok(())
    }

    fn serialize_u64(self, number: u64) -> Written {
        self.shown(number);
        Ok(())
    }

    /// By the host, which has the code for it; `null` for what is no number.
    fn serialize_f64(self, number: f64) -> Written {
        let text = JSON::stringify(&JsValue::from_f64(number)).map_err(|_| Unwritable)?;
        self.0.push_str(&String::from(text));
        Ok(())
    }

    fn serialize_char(self, letter: char) -> Written {
        self.serialize_str(letter.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, text: &str) -> Written {
        self.quote(text);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Written {
        Err(Unwritable)
    }

    fn serialize_none(self) -> Written {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Written {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Written {
        self.0.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Written {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Written {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Written {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Written {
        self.0.push('{');
        self.name(variant);
        value.serialize(&mut *self)?;
        self.0.push('}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unwritable> {
        self.0.push('[');
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unwritable> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        self.begin(variant, '[')
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unwritable> {
        self.0.push('{');
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        self.begin(variant, '{')
    }
}

/// The traits of lists: each item after its comma, then what closes the list.
macro_rules! list {
    ($($of:ident $item:ident $end:literal),*) => {$(
        impl ser::$of for &mut Writer {
            type Ok = ();
            type Error = Unwritable;

            fn $item<T: ?Sized + Serialize>(&mut self, value: &T) -> Written {
                self.separate();
                value.serialize(&mut **self)
            }

            fn end(self) -> Written {
                self.0.push_str($end);
                Ok(())
            }
        }
    )*};
}

list!(
    SerializeSeq serialize_element "]",
    SerializeTuple serialize_element "]",
    SerializeTupleStruct serialize_field "]",
    SerializeTupleVariant serialize_field "]}"
);

/// The traits of types with named fields.
macro_rules! fields {
    ($($of:ident $end:literal),*) => {$(
        impl ser::$of for &mut Writer {
            type Ok = ();
            type Error = Unwritable;

            fn serialize_field<T: ?Sized + Serialize>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Written {
                self.name(name);
                value.serialize(&mut **self)
            }

            fn end(self) -> Written {
                self.0.push_str($end);
                Ok(())
            }
        }
    )*};
}

fields!(SerializeStruct "}", SerializeStructVariant "}}");

impl ser::SerializeMap for &mut Writer {
    type Ok = ();
    type Error = Unwritable;

    /// Keys are texts here.
    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Written {
        self.separate();
        key.serialize(&mut **self)?;
        self.0.push(':');
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Written {
        value.serialize(&mut **self)
    }

    fn end(self) -> Written {
        self.0.push('}');
        Ok(())
    }
}
