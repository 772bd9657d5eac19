//! What must hold for any input.
//!
//! Each function takes whatever bytes there are and panics where a promise is broken.
//! `cargo xtask fuzz` searches for such bytes; those that were found, and those that a person would
//! try first, are kept in `regressions/` and tried by every test run.

mod hello;
mod op_msg;
mod tunnel;
mod uri;

pub use hello::hello;
pub use op_msg::op_msg;
pub use tunnel::tunnel;
pub use uri::uri;

/// A property, by the name of its fuzz target and of the folder of its inputs.
pub type Property = fn(&[u8]);

/// All of them.
pub const PROPERTIES: [(&str, Property); 4] =
    [("hello", hello), ("op_msg", op_msg), ("tunnel", tunnel), ("uri", uri)];
