//! Errors in words.

use std::fmt;
use std::io;

/// An error of this kind, in words. What std makes of a text (`io::Error::new(kind, "...")`) can be
/// debugged, by a kilobyte of code in a WebAssembly module.
pub(crate) fn failure(kind: io::ErrorKind, words: impl Into<String>) -> io::Error {
    io::Error::new(kind, Failure(words.into()))
}

#[derive(Debug)]
struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}
