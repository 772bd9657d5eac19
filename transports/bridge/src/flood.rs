//! What costs work and carries nothing: pings, pongs, empty frames. So many a second, no more.

use tokio::time::Instant;

use crate::limits::Bucket;

/// Watches one WebSocket's messages.
#[derive(Debug)]
pub(crate) struct Flood {
    bucket: Bucket,
    frames: Option<Frames>,
}

impl Flood {
    /// Allows `rate` a second, and those of a few seconds at once. `tunnel`: the messages carry a
    /// tunnel's frames, which have pings of their own.
    pub(crate) fn new(rate: u32, tunnel: bool) -> Self {
        let bucket = Bucket::new(rate, rate.saturating_mul(BURST_SECS), Instant::now());
        Self { bucket, frames: tunnel.then(Frames::default) }
    }

    /// A ping or pong of the WebSocket; whether that is still fine.
    pub(crate) fn control(&mut self) -> bool {
        self.bucket.take(1, Instant::now())
    }

    /// A message; whether that is still fine.
    pub(crate) fn message(&mut self, bytes: &[u8]) -> bool {
        let idle = match &mut self.frames {
            _ if bytes.is_empty() => 1,
            Some(frames) => frames.see(bytes),
            None => 0,
        };
        idle == 0 || self.bucket.take(idle, Instant::now())
    }
}

const BURST_SECS: u32 = 5;

/// Follows a tunnel's frames through messages, whose bounds are not theirs.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; HEADER],
    /// Bytes of the header that are there.
    filled: usize,
    /// Bytes of the body that are still to come.
    body: usize,
}

/// Version 1, type 1, flags 2, stream 4, length 4.
const HEADER: usize = 12;

impl Frames {
    /// How many frames that carry nothing end in `bytes`.
    pub(crate) fn see(&mut self, mut bytes: &[u8]) -> u32 {
        let mut idle = 0;
        loop {
            let skipped = self.body.min(bytes.len());
            self.body -= skipped;
            bytes = &bytes[skipped..];
            if bytes.is_empty() {
                return idle;
            }
            let taken = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];
            if self.filled < HEADER {
                return idle;
            }
            self.filled = 0;
            let [_, kind, f1, f0, _, _, _, _, l3, l2, l1, l0] = self.header;
            let (flags, length) = (u16::from_be_bytes([f1, f0]), [l3, l2, l1, l0]);
            let length = u32::from_be_bytes(length);
            let is_idle = match kind {
                DATA => {
                    self.body = usize::try_from(length).unwrap_or(usize::MAX);
                    flags == 0 && length == 0
                }
                WINDOW_UPDATE => flags == 0 && length < LEAST_CREDIT,
                // An answer (ACK) was asked for; anything else is not.
                PING => flags != ACK,
                _ => false,
            };
            idle += u32::from(is_idle);
        }
    }
}

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
const ACK: u16 = 2;
/// Whoever gives less credit at a time makes work: everybody else gives half a window.
const LEAST_CREDIT: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u32, body: usize) -> Vec<u8> {
        let mut bytes = vec![0, kind, 0, flags, 0, 0, 0, 1];
        bytes.extend(length.to_be_bytes());
        bytes.resize(HEADER + body, 2);
        bytes
    }

    #[test]
    fn idle_frames_are_found_however_messages_cut_them() {
        let stream = [
            frame(DATA, 1, 0, 0),
            frame(DATA, 0, 300, 300),
            frame(PING, 1, 7, 0),
            frame(DATA, 0, 0, 0),
            frame(PING, 2, 7, 0),
            frame(WINDOW_UPDATE, 0, 128 * 1024, 0),
            frame(WINDOW_UPDATE, 0, 1, 0),
            frame(DATA, 4, 0, 0),
        ]
        .concat();
        for cut in 1..stream.len() {
            let mut frames = Frames::default();
            let idle: u32 = stream.chunks(cut).map(|message| frames.see(message)).sum();
            assert_eq!(idle, 3, "in messages of {cut}");
        }
    }

    #[test]
    fn some_are_fine_and_a_flood_is_not() {
        let mut flood = Flood::new(2, true);
        let ping = frame(PING, 1, 0, 0);
        assert!((0..9).all(|_| flood.control()) && flood.message(&ping));
        assert!(!flood.control() && !flood.message(&ping) && !flood.message(&[]));
        assert!((0..100).all(|_| flood.message(&frame(DATA, 0, 30, 30))));
    }
}
