//! Operations: from a user's wish to a command, from a reply to its meaning.

pub mod codes;
