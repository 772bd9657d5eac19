//! Cuts a stream of bytes into whole messages.

use super::{HEADER_LENGTH, Header, WireError};

/// Bytes that a reply may exceed the server's `maxMessageSizeBytes` by: the server's own limit
/// counts a reply's documents, not what surrounds them.
pub const FRAME_SLACK: usize = 16 * 1024;

/// The largest message before a server's hello says another limit.
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = 48_000_000 + FRAME_SLACK;

/// One connection's incoming bytes.
///
/// A shell reads straight into the framer's buffer and takes whole messages out:
///
/// ```
/// use std::io::Read as _;
///
/// use portolan::engine::wire::{DEFAULT_MAX_MESSAGE_SIZE, Framer, WireError};
///
/// # let mut socket: &[u8] = &[16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 221, 7, 0, 0];
/// let mut framer = Framer::new(DEFAULT_MAX_MESSAGE_SIZE);
/// let frame = loop {
///     if let Some(frame) = framer.next_frame()? {
///         break frame;
///     }
///     let count = socket.read(framer.unfilled(1)).expect("a slice can be read");
///     framer.filled(count);
/// };
/// assert_eq!(frame.len(), 16);
/// # Ok::<(), WireError>(())
/// ```
///
/// Promises: a header is judged as soon as its sixteen bytes are there, before anything is
/// allocated for its body; the buffer grows with what has arrived (at most to its double), not
/// with what a header claims, and never beyond the maximum and one chunk; each byte is moved at
/// most twice.
#[derive(Debug)]
pub struct Framer {
    max: usize,
    /// Initialised throughout; the bytes that arrived and were not taken are `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Framer {
    /// A framer that accepts messages of up to `max_message_size` bytes.
    pub fn new(max_message_size: usize) -> Self {
        Self { max: max_message_size, buffer: Vec::new(), start: 0, end: 0 }
    }

    /// Changes the limit, from the next message on (the server's `maxMessageSizeBytes`).
    pub fn set_max(&mut self, max_message_size: usize) {
        self.max = max_message_size;
    }

    /// The limit.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Room to read into: what is missing of the message that has begun, else a chunk. Never
    /// empty; at least `at_least` bytes where no more than the message's own rest is asked.
    ///
    /// After a read, say with [`Framer::filled`] how many bytes it brought.
    pub fn unfilled(&mut self, at_least: usize) -> &mut [u8] {
        let room = self.room(at_least.clamp(1, CHUNK));
        if self.buffer.len() - self.end < room {
            self.compact();
            if self.buffer.len() < self.end + room {
                self.grow(self.end + room);
            }
        }
        &mut self.buffer[self.end..self.end + room]
    }

    /// Says that the first `count` bytes of the latest [`Framer::unfilled`] hold data now.
    ///
    /// # Panics
    ///
    /// If that is more than was offered.
    pub fn filled(&mut self, count: usize) {
        assert!(count <= self.buffer.len() - self.end, "more bytes filled than offered");
        self.end += count;
    }

    /// Whether a message has begun and is not complete: an end of the stream here is an error.
    pub fn is_mid_message(&self) -> bool {
        self.start < self.end
    }

    /// Whether what has begun is a record of TLS: the peer wants that, and we do not speak it.
    pub fn looks_like_tls(&self) -> bool {
        const ALERT_AND_HANDSHAKE: [u8; 2] = [0x15, 0x16];
        match &self.buffer[self.start..self.end] {
            [kind, 3, ..] => ALERT_AND_HANDSHAKE.contains(kind),
            _ => false,
        }
    }

    /// The next whole message, its header included; `None` means more bytes.
    ///
    /// # Errors
    ///
    /// A negative, too small or too large length, or an unknown op code. The stream has no known
    /// continuation then: every further call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        let Some(header) = self.header()? else { return Ok(None) };
        if self.end - self.start < header.length {
            return Ok(None);
        }
        Ok(Some(self.take(header.length)))
    }

    /// Bytes that the buffer occupies.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn header(&self) -> Result<Option<Header>, WireError> {
        let header = Header::parse(&self.buffer[self.start..self.end])?;
        match header {
            Some(Header { length, .. }) if length > self.max => {
                Err(WireError::Oversized { length, max: self.max })
            }
            header => Ok(header),
        }
    }

    /// How many bytes the next read may bring.
    fn room(&mut self, at_least: usize) -> usize {
        let arrived = self.end - self.start;
        match self.header() {
            Ok(Some(header)) if header.length > arrived => {
                (header.length - arrived).min(arrived.max(TRUSTED))
            }
            Ok(Some(_)) => at_least,
            Ok(None) => CHUNK - arrived,
            Err(_) => {
                // Nobody will read what follows a bad header.
                self.end = self.start + HEADER_LENGTH;
                at_least
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let alone = self.start == 0 && self.end == length;
        if alone && length > KEPT {
            return self.hand_over(length);
        }
        let frame = self.buffer[self.start..self.start + length].to_vec();
        self.start += length;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if self.buffer.len() > KEPT {
                self.buffer = Vec::new();
            }
        }
        frame
    }

    /// A large message that is alone in the buffer leaves with it: no copy, and nothing to shrink.
    fn hand_over(&mut self, length: usize) -> Vec<u8> {
        let mut frame = std::mem::take(&mut self.buffer);
        self.end = 0;
        frame.truncate(length);
        frame.shrink_to(length + length / 4);
        frame
    }

    fn compact(&mut self) {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    fn grow(&mut self, length: usize) {
        if self.buffer.is_empty() {
            // Zeroed pages come from the system for nothing; `resize` would write them.
            self.buffer = vec![0; length];
        } else {
            self.buffer.reserve_exact(length - self.buffer.len());
            self.buffer.resize(length, 0);
        }
    }
}

/// Bytes of a read that waits for a header: a small reply comes in one read.
const CHUNK: usize = 16 * 1024;

/// Bytes of a body that are allocated on a header's word alone.
const TRUSTED: usize = 256 * 1024;

/// Bytes of the buffer that a connection keeps between messages.
const KEPT: usize = 64 * 1024;
