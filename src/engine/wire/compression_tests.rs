//! Compressed messages: what comes back, what is refused, and bytes of any content.

use bson::raw::CStr;
use bson::{RawDocument, RawDocumentBuf, rawdoc};

use super::*;
use crate::engine::rng::Rng;
use crate::engine::wire::{DEFAULT_MAX_MESSAGE_SIZE, Flags, Message, OpMsgBuilder, Reply};

const MAX: usize = 1_000_000;

fn message(body: &RawDocument) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut builder = OpMsgBuilder::begin(&mut buffer, 7, 3, Flags::NONE);
    builder.body(body);
    builder.finish().unwrap();
    buffer
}

fn insert(text: &str) -> RawDocumentBuf {
    rawdoc! { "insert": "ports", "documents": [{ "text": text }], "$db": "harbour" }
}

fn all(level: i32) -> Compression {
    Compression::offer(&Compressor::ALL, level)
}

fn using(compressor: Compressor) -> Compression {
    let mut compression = all(-1);
    compression.settle(&[compressor.as_str().to_owned()]);
    assert_eq!(compression.used(), Some(compressor));
    compression
}

fn packed(compressor: Compressor, plain: &[u8]) -> Vec<u8> {
    let mut message = plain.to_vec();
    using(compressor).pack(&mut message).unwrap();
    message
}

/// OP_COMPRESSED of these parts, whether they fit each other or not.
fn compressed(original: i32, size: i32, id: u8, contents: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    Header::begin(&mut frame, 1, 2, OpCode::Compressed);
    frame.extend_from_slice(&original.to_le_bytes());
    frame.extend_from_slice(&size.to_le_bytes());
    frame.push(id);
    frame.extend_from_slice(contents);
    Header::finish(&mut frame, 0).unwrap();
    frame
}

#[test]
fn what_is_packed_comes_back() {
    let mut rng = Rng::seeded(1);
    let noise: String = (0..70_000).map(|_| char::from(33 + (rng.below(90) as u8))).collect();
    for text in ["", "a", &"tide ".repeat(100_000), &noise] {
        let plain = message(&insert(text));
        for compressor in Compressor::ALL {
            let packed = packed(compressor, &plain);
            assert_eq!(Header::of_frame(&packed).unwrap().op_code, OpCode::Compressed);
            assert_eq!(packed[24], compressor.id());
            let size = i32::from_le_bytes(packed[20..24].try_into().unwrap());
            assert_eq!(size as usize, plain.len() - HEADER_LENGTH, "without the header");
            assert!(text.len() < 500_000 || packed.len() < plain.len() / 10, "{compressor:?}");
            let whole = all(-1).unpack(packed.clone(), plain.len()).unwrap();
            assert_eq!(whole, plain, "{compressor:?}");
            let most = plain.len() - 1;
            let error = all(-1).unpack(packed, most).unwrap_err();
            assert_eq!(error, WireError::Oversized { length: plain.len(), max: most });
        }
    }
}

#[test]
fn the_level_of_zlib_is_obeyed() {
    let plain = message(&insert(&"the tide waits for no man. ".repeat(2_000)));
    let packed = |level| {
        let mut message = plain.clone();
        let mut compression = all(level);
        compression.settle(&["zlib".to_owned()]);
        compression.pack(&mut message).unwrap();
        assert_eq!(all(0).unpack(message.clone(), MAX).unwrap(), plain);
        message
    };
    assert!(packed(0).len() > plain.len(), "not compressed at all");
    assert!(packed(9).len() <= packed(1).len() && packed(1).len() < plain.len() / 10);
    assert_eq!(packed(-1), packed(6));
    // The level that the stream's header tells (RFC 1950 FLEVEL).
    assert_eq!(packed(1)[26] >> 6, 0);
    assert_eq!(packed(9)[26] >> 6, 3);
}

#[test]
fn the_client_s_order_decides() {
    let mut compression = all(-1);
    let accepted = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    compression.settle(&accepted(&["zstd", "zlib"]));
    assert_eq!(compression.used(), Some(Compressor::Zlib));
    compression.settle(&accepted(&["lz4"]));
    assert_eq!(compression.used(), None);
    let mut plain = message(&insert("a"));
    let before = plain.clone();
    compression.pack(&mut plain).unwrap();
    assert_eq!(plain, before);
}

#[test]
fn commands_of_the_handshake_are_never_compressed() {
    for name in NEVER_COMPRESSED {
        for name in [name.to_owned(), name.to_lowercase()] {
            let mut body = RawDocumentBuf::new();
            body.append(<&CStr>::try_from(name.as_str()).unwrap(), 1);
            body.append(bson::raw::cstr!("payload"), "secret ".repeat(100));
            let plain = message(&body);
            for compressor in Compressor::ALL {
                assert_eq!(packed(compressor, &plain), plain, "{name}");
            }
        }
    }
    let ping = message(&rawdoc! { "ping": 1, "hello": 1 });
    assert_ne!(packed(Compressor::Snappy, &ping), ping, "all other messages MUST be compressed");
    let empty = message(&rawdoc! {});
    assert_eq!(packed(Compressor::Zlib, &empty), empty, "no command");
}

#[test]
fn a_reply_that_is_not_compressed_passes() {
    let plain = message(&rawdoc! { "ok": 1 });
    assert_eq!(using(Compressor::Zlib).unpack(plain.clone(), MAX).unwrap(), plain);
    // Not even the one that was chosen for requests: "using any supported compressor".
    let other = packed(Compressor::Snappy, &plain_insert());
    assert_eq!(using(Compressor::Zlib).unpack(other, MAX).unwrap(), plain_insert());
}

fn plain_insert() -> Vec<u8> {
    message(&insert("a"))
}

#[test]
fn noop_is_the_message_as_it_is() {
    let plain = plain_insert();
    let contents = &plain[HEADER_LENGTH..];
    let size = contents.len() as i32;
    let whole = all(-1).unpack(compressed(2013, size, 0, contents), MAX).unwrap();
    assert_eq!(Reply::parse(whole).unwrap().message.into_document(), insert("a"));
    let actual = Some(contents.len());
    assert_eq!(
        all(-1).unpack(compressed(2013, size + 1, 0, contents), MAX).unwrap_err(),
        WireError::WrongUncompressedSize { said: contents.len() + 1, actual }
    );
}

#[test]
fn what_was_not_offered_is_refused() {
    let plain = plain_insert();
    let zstd = packed(Compressor::Zstd, &plain);
    let none = Compression::default().unpack(zstd.clone(), MAX).unwrap_err();
    assert_eq!(none, WireError::UnexpectedOpCode(OpCode::Compressed));
    let other = Compression::offer(&[Compressor::Zlib], -1).unpack(zstd, MAX).unwrap_err();
    assert_eq!(other, WireError::CompressorNotOffered(Compressor::Zstd));
    for id in [4, 5, 100, 255] {
        let error = all(-1).unpack(compressed(2013, 10, id, &[0; 10]), MAX).unwrap_err();
        assert_eq!(error, WireError::UnknownCompressor(id));
    }
    let nested = all(-1).unpack(compressed(2012, 10, 0, &[0; 10]), MAX).unwrap_err();
    assert_eq!(nested, WireError::UnexpectedOpCode(OpCode::Compressed));
    let unknown = all(-1).unpack(compressed(2002, 10, 0, &[0; 10]), MAX).unwrap_err();
    assert_eq!(unknown, WireError::UnknownOpCode(2002));
}

#[test]
fn lengths_are_judged_before_anything_is_allocated() {
    for id in 0..=3 {
        let error = |size| all(-1).unpack(compressed(2013, size, id, &[0; 10]), MAX).unwrap_err();
        assert_eq!(error(-1), WireError::Negative { length: -1 });
        let (length, max) = (i32::MAX as usize + HEADER_LENGTH, MAX);
        assert_eq!(error(i32::MAX), WireError::Oversized { length, max });
    }
    for cut in HEADER_LENGTH..HEADER_LENGTH + PREFIX {
        let mut frame = packed(Compressor::Snappy, &plain_insert());
        frame.truncate(cut);
        Header::finish(&mut frame, 0).unwrap();
        let error = all(-1).unpack(frame, MAX).unwrap_err();
        assert!(matches!(error, WireError::Truncated { .. }), "{cut}: {error:?}");
    }
}

/// A message that says it is short and expands beyond the maximum, and those that lie a little.
#[test]
fn a_message_that_lies_about_its_size_is_refused() {
    let zeros = vec![0; 3_000_000];
    for compressor in Compressor::ALL {
        let bomb = compressor.compress(&zeros, 9).unwrap();
        assert!(bomb.len() < zeros.len() / 15, "{compressor:?}: {}", bomb.len());
        let unpack = |size: i32| {
            let frame = compressed(2013, size, compressor.id(), &bomb);
            all(-1).unpack(frame, 2_500_000).unwrap_err()
        };
        for size in [0, 1, 1_000, 2_400_000] {
            let error = unpack(size);
            let lie = matches!(error, WireError::WrongUncompressedSize { said, .. }
                if said == size as usize);
            assert!(lie, "{compressor:?} {size}: {error:?}");
        }
        assert!(matches!(unpack(3_000_000), WireError::Oversized { .. }));
        let plain = plain_insert();
        for wrong in [-1, 1, 1_000] {
            let mut frame = packed(compressor, &plain);
            let size = (plain.len() - HEADER_LENGTH) as i32 + wrong;
            frame[20..24].copy_from_slice(&size.to_le_bytes());
            let error = all(-1).unpack(frame, MAX).unwrap_err();
            assert!(matches!(error, WireError::WrongUncompressedSize { .. }), "{error:?}");
        }
    }
}

/// Ten bytes that claim to be forty megabytes of Snappy.
#[test]
fn nothing_is_allocated_for_what_few_bytes_cannot_be() {
    let mut contents = vec![0x80, 0xb4, 0x89, 0x13];
    contents.extend_from_slice(&[0; 6]);
    let frame = compressed(2013, 40_000_000, 1, &contents);
    let error = all(-1).unpack(frame, DEFAULT_MAX_MESSAGE_SIZE).unwrap_err();
    assert!(matches!(error, WireError::Compression { .. }), "{error:?}");
}

#[test]
fn truncated_contents_are_an_error() {
    let plain = message(&insert(&"tide ".repeat(100)));
    for compressor in Compressor::ALL {
        let whole = packed(compressor, &plain);
        for cut in HEADER_LENGTH + PREFIX..whole.len() {
            let mut frame = whole[..cut].to_vec();
            Header::finish(&mut frame, 0).unwrap();
            assert!(all(-1).unpack(frame, MAX).is_err(), "{compressor:?} up to {cut}");
        }
    }
}

/// Mutated, truncated, extended, invented: an error or a message of the length that it says.
#[test]
fn bytes_of_any_content_end_in_a_message_or_an_error() {
    let mut rng = Rng::seeded(7);
    let texts = ["a".to_owned(), "tide ".repeat(500), (0..2_000).map(|n| n.to_string()).collect()];
    let valid: Vec<Vec<u8>> = texts
        .iter()
        .flat_map(|text| Compressor::ALL.map(|c| packed(c, &message(&insert(text)))))
        .collect();
    let rounds = std::env::var("PORTOLAN_FUZZ_ROUNDS").map_or(20_000, |n| n.parse().unwrap());
    let mut outcomes = [0; 2];
    for round in 0..rounds {
        let mut frame = valid[rng.below(valid.len())].clone();
        mutate(&mut frame, &mut rng);
        if rng.below(4) > 0 {
            Header::finish(&mut frame, 0).unwrap();
        }
        let unpacked = all(-1).unpack(frame, MAX);
        outcomes[usize::from(unpacked.is_ok())] += 1;
        if let Ok(message) = unpacked {
            assert!(message.len() <= MAX && message.capacity() <= 2 * MAX, "round {round}");
            assert_eq!(Header::of_frame(&message).unwrap().length, message.len());
            if let Ok(Reply { message: Message::Msg(message), .. }) = Reply::parse(message) {
                assert!(message.sequences.iter().all(|sequence| sequence.iter().count() < MAX));
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > rounds / 100), "both: {outcomes:?}");
}

/// Changes something behind the header.
fn mutate(frame: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        let at = HEADER_LENGTH + rng.below(frame.len() - HEADER_LENGTH);
        match rng.below(6) {
            0 => frame[at] ^= 1 << rng.below(8),
            1 => frame[at] = rng.next_u64() as u8,
            2 => frame.truncate(at.max(HEADER_LENGTH + 1)),
            3 => frame.insert(at, rng.next_u64() as u8),
            4 => {
                let end = (at + 1 + rng.below(40)).min(frame.len());
                frame[at..end].iter_mut().for_each(|byte| *byte = rng.next_u64() as u8);
            }
            _ => frame.extend((0..rng.below(30)).map(|_| rng.next_u64() as u8)),
        }
    }
}
