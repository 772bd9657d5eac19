//! Portolan: a MongoDB driver whose one protocol core runs on async-std, smol, tokio, in the browser and at the edge.
//!
//! ```text
//! bytes -> wire message -> hello reply -> ServerDescription -> TopologyDescription -> selection -> connection -> operation -> reply
//!         |______________________________ src/engine: pure ______________________________________|
//! ```
//!
//! The modules, in the order of that line:
//!
//! - [`engine`] decides: framing, hello, discovery and monitoring, selection, pool and operations,
//!   as deterministic machines without a clock, I/O, threads or randomness of their own.
//! - [`transport`] is the seam: time and byte streams, one small leaf per runtime.
//! - `driver` carries: the future that runs the engine's monitors, and the path of one operation.
//! - [`Client`], [`Database`], [`Collection`], [`Cursor`] are what users hold.
//! - [`uri`], [`options`], [`event`] and [`error`] are what they say and hear.

pub mod engine;
pub mod options;
pub mod transport;
pub mod uri;
