//! A cursor that JavaScript pulls, one document at a time.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Promise, Uint8Array};
use portolan::Cursor;
use wasm_bindgen::prelude::*;
use web_sys::AbortSignal;

use crate::failure::{from_portolan, invalid};
use crate::promise::promised;

/// The documents of one `find`. Dropping it (`free`) ends the server's cursor too.
#[wasm_bindgen]
pub struct WasmCursor {
    /// Empty while a `next` is under way.
    cursor: Rc<RefCell<Option<Cursor<()>>>>,
    address: String,
}

impl WasmCursor {
    pub(crate) fn new(cursor: Cursor<()>) -> Self {
        let address = cursor.address().to_string();
        Self { cursor: Rc::new(RefCell::new(Some(cursor))), address }
    }
}

#[wasm_bindgen]
impl WasmCursor {
    /// The server that the documents come from.
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The next document's bytes, `undefined` at the end.
    ///
    /// A `next` that was aborted ends the cursor.
    pub fn next(&self, signal: Option<AbortSignal>) -> Promise {
        let shared = Rc::clone(&self.cursor);
        let next = async move {
            let taken = shared.borrow_mut().take();
            let mut cursor = taken.ok_or_else(|| invalid("another next() is under way"))?;
            let item = cursor.next_raw().await;
            shared.borrow_mut().replace(cursor);
            match item {
                Some(Ok(document)) => Ok(Uint8Array::from(document.as_bytes()).into()),
                Some(Err(error)) => Err(from_portolan(&error)),
                None => Ok(JsValue::UNDEFINED),
            }
        };
        promised(signal, Box::pin(next))
    }
}
