//! Cursors as entities: made, asked step by step, closed.

use std::sync::Arc;

use async_std::sync::Mutex;
use bson::{Bson, Document};
use futures_util::StreamExt;
use portolan::{Collection, Cursor, CursorType, TimeoutMode};

use crate::operations::{Arguments, Outcome, Output, find_cursor, millis};
use crate::world::Item;

/// A cursor entity: what is left of it.
pub(crate) type Slot = Arc<Mutex<Option<Cursor<Document>>>>;

pub(crate) async fn create_find(on: &Collection<Document>, arguments: &Arguments) -> Outcome {
    Ok(find_cursor(on, arguments)?.await.map(|cursor| Output::Entity(slot(cursor))))
}

pub(crate) fn slot(cursor: Cursor<Document>) -> Item {
    Item::Cursor(Arc::new(Mutex::new(Some(cursor))))
}

pub(crate) async fn run(slot: &Slot, name: &str, arguments: &Document) -> Outcome {
    let mut place = slot.lock().await;
    let cursor = place.as_mut().ok_or("the cursor was closed")?;
    let document = match name {
        "iterateUntilDocumentOrError" => match cursor.next().await {
            Some(document) => document.map(Some),
            None => return Err("the cursor has ended".to_owned()),
        },
        "iterateOnce" => cursor.next_if_any().await,
        "close" => {
            let mut close = place.take().ok_or("the cursor was closed")?.close();
            if let Some(timeout) = arguments.get("timeoutMS") {
                close = close.timeout(millis(timeout)?);
            }
            return Ok(close.await.map(|()| Output::Value(None)));
        }
        unknown => return Err(format!("a cursor has no operation {unknown}")),
    };
    Ok(document.map(|document| Output::Value(document.map(Bson::Document))))
}

pub(crate) fn cursor_type(value: &Bson) -> Result<CursorType, String> {
    match value.as_str() {
        Some("nonTailable") => Ok(CursorType::NonTailable),
        Some("tailable") => Ok(CursorType::Tailable),
        Some("tailableAwait") => Ok(CursorType::TailableAwait),
        _ => Err(format!("{value} is no cursorType")),
    }
}

pub(crate) fn timeout_mode(value: &Bson) -> Result<TimeoutMode, String> {
    match value.as_str() {
        Some("cursorLifetime") => Ok(TimeoutMode::CursorLifetime),
        Some("iteration") => Ok(TimeoutMode::Iteration),
        _ => Err(format!("{value} is no timeoutMode")),
    }
}
