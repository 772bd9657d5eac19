//! The algorithms of [`compression`](super::compression), each behind the feature of its name.

use std::fmt;

use super::{Compressor, WireError};

impl Compressor {
    /// Whether this build has the algorithm: the crate's feature of its name is on.
    pub fn is_built_in(self) -> bool {
        match self {
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Zlib => cfg!(feature = "zlib"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }

    /// `bytes`, compressed.
    pub(super) fn compress(self, bytes: &[u8], zlib_level: i32) -> Result<Vec<u8>, WireError> {
        match self {
            Self::Snappy => snappy::compress(bytes, zlib_level),
            Self::Zlib => zlib::compress(bytes, zlib_level),
            Self::Zstd => zstd::compress(bytes, zlib_level),
        }
    }

    /// Appends to `output` what `bytes` are the compressed form of: exactly `length` bytes.
    ///
    /// Never makes more than that, however much `bytes` would expand to.
    pub(super) fn decompress(
        self,
        bytes: &[u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let start = output.len();
        match self {
            Self::Snappy => snappy::decompress(bytes, length, output)?,
            Self::Zlib => zlib::decompress(bytes, length, output)?,
            Self::Zstd => zstd::decompress(bytes, length, output)?,
        }
        let actual = output.len() - start;
        if actual == length { Ok(()) } else { Err(wrong_size(length, Some(actual))) }
    }
}

fn failed(compressor: Compressor, error: impl fmt::Display) -> WireError {
    WireError::Compression { compressor, message: error.to_string() }
}

fn wrong_size(said: usize, actual: Option<usize>) -> WireError {
    WireError::WrongUncompressedSize { said, actual }
}

#[cfg(feature = "snappy")]
mod snappy {
    use snap::raw::{Decoder, Encoder, decompress_len};

    use super::{Compressor, WireError, failed, wrong_size};

    pub(super) fn compress(bytes: &[u8], _: i32) -> Result<Vec<u8>, WireError> {
        Encoder::new().compress_vec(bytes).map_err(|error| failed(Compressor::Snappy, error))
    }

    pub(super) fn decompress(
        bytes: &[u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let refused = |error| failed(Compressor::Snappy, error);
        let own = decompress_len(bytes).map_err(refused)?;
        if own != length {
            return Err(wrong_size(length, Some(own)));
        }
        if length / MOST_PER_BYTE > bytes.len() {
            return Err(failed(Compressor::Snappy, "too few bytes for what they say to contain"));
        }
        let start = output.len();
        output.resize(start + length, 0);
        let written = Decoder::new().decompress(bytes, &mut output[start..]).map_err(refused)?;
        output.truncate(start + written);
        Ok(())
    }

    /// A copy of at most 64 bytes takes three: nothing is allocated for more than that.
    const MOST_PER_BYTE: usize = 22;
}

#[cfg(feature = "zlib")]
mod zlib {
    use miniz_oxide::deflate::compress_to_vec_zlib;
    use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

    use super::{Compressor, WireError, failed, wrong_size};

    pub(super) fn compress(bytes: &[u8], level: i32) -> Result<Vec<u8>, WireError> {
        let level = u8::try_from(level).map_or(DEFAULT_LEVEL, |level| level.min(BEST_LEVEL));
        Ok(compress_to_vec_zlib(bytes, level))
    }

    pub(super) fn decompress(
        bytes: &[u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        // The output grows with what was decompressed, up to the limit.
        match decompress_to_vec_zlib_with_limit(bytes, length) {
            Ok(decompressed) => output.extend_from_slice(&decompressed),
            Err(error) if error.status == TINFLStatus::HasMoreOutput => {
                return Err(wrong_size(length, None));
            }
            Err(error) => return Err(failed(Compressor::Zlib, error)),
        }
        Ok(())
    }

    /// "-1: Default Compression (usually 6)".
    const DEFAULT_LEVEL: u8 = 6;
    const BEST_LEVEL: u8 = 9;
}

#[cfg(feature = "zstd")]
mod zstd {
    use ruzstd::decoding::FrameDecoder;
    use ruzstd::decoding::errors::FrameDecoderError;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::{Compressor, WireError, failed, wrong_size};

    pub(super) fn compress(bytes: &[u8], _: i32) -> Result<Vec<u8>, WireError> {
        Ok(compress_to_vec(bytes, CompressionLevel::Fastest))
    }

    pub(super) fn decompress(
        bytes: &[u8],
        length: usize,
        output: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let start = output.len();
        output.resize(start + length, 0);
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW.max(length as u64));
        match decoder.decode_all(bytes, &mut output[start..]) {
            Ok(written) => output.truncate(start + written),
            Err(FrameDecoderError::TargetTooSmall) => return Err(wrong_size(length, None)),
            Err(error) => return Err(failed(Compressor::Zstd, error)),
        }
        Ok(())
    }

    /// Bytes that the decoder may keep to look back at beyond those of the message: what RFC 8878
    /// section 3.1.1.1.2 wants of every decoder.
    const WINDOW: u64 = 8 * 1024 * 1024;
}

/// A module of an algorithm that this build lacks. Nothing is negotiated that would call it.
#[cfg(not(all(feature = "snappy", feature = "zlib", feature = "zstd")))]
macro_rules! absent {
    ($module:ident, $compressor:ident) => {
        mod $module {
            use super::{Compressor, WireError, failed};

            pub(super) fn compress(_: &[u8], _: i32) -> Result<Vec<u8>, WireError> {
                Err(lacking())
            }

            pub(super) fn decompress(_: &[u8], _: usize, _: &mut Vec<u8>) -> Result<(), WireError> {
                Err(lacking())
            }

            fn lacking() -> WireError {
                let feature = Compressor::$compressor.as_str();
                let message = format!("portolan was built without its feature {feature}");
                failed(Compressor::$compressor, message)
            }
        }
    };
}

#[cfg(not(feature = "snappy"))]
absent!(snappy, Snappy);
#[cfg(not(feature = "zlib"))]
absent!(zlib, Zlib);
#[cfg(not(feature = "zstd"))]
absent!(zstd, Zstd);
