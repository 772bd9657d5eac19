//! Round trips, every error, and ten thousand corruptions of valid frames.

use bson::raw::{CStr, cstr};
use bson::{RawBsonRef, RawDocument, RawDocumentBuf, rawdoc};

use super::*;
use crate::engine::rng::Rng;

const LARGE: usize = DEFAULT_MAX_MESSAGE_SIZE;

fn message(
    flags: Flags,
    body: &RawDocument,
    sequences: &[(&CStr, Vec<RawDocumentBuf>)],
) -> Vec<u8> {
    let mut buffer = Vec::new();
    let mut builder = OpMsgBuilder::begin(&mut buffer, 7, 3, flags);
    builder.body(body);
    for (identifier, documents) in sequences {
        builder.sequence(identifier, documents.iter());
    }
    let length = builder.finish().unwrap();
    assert_eq!(length, buffer.len());
    buffer
}

fn simple() -> Vec<u8> {
    message(Flags::NONE, &rawdoc! { "ok": 1 }, &[])
}

/// Writes a header around `rest`, whose length it states.
fn framed(op_code: i32, rest: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    for field in [16 + rest.len() as i32, 7, 3, op_code] {
        frame.extend_from_slice(&field.to_le_bytes());
    }
    frame.extend_from_slice(rest);
    frame
}

fn msg_error(rest: &[u8]) -> WireError {
    Reply::parse(framed(2013, rest)).unwrap_err()
}

fn feed(framer: &mut Framer, mut bytes: &[u8], at_a_time: usize) {
    while !bytes.is_empty() {
        let room = framer.unfilled(1);
        let count = room.len().min(bytes.len()).min(at_a_time);
        room[..count].copy_from_slice(&bytes[..count]);
        framer.filled(count);
        bytes = &bytes[count..];
    }
}

// RK-42
#[test]
fn a_message_comes_back_as_it_was_written() {
    let body = rawdoc! { "insert": "ports", "ordered": true };
    let documents = vec![rawdoc! { "_id": 1 }, rawdoc! { "_id": 2, "name": "Lisboa" }];
    for flags in [
        Flags::NONE,
        Flags::CHECKSUM_PRESENT,
        Flags::MORE_TO_COME | Flags::EXHAUST_ALLOWED,
        Flags::CHECKSUM_PRESENT | Flags::EXHAUST_ALLOWED,
    ] {
        let sequences = [(cstr!("documents"), documents.clone()), (cstr!("none"), Vec::new())];
        let reply = Reply::parse(message(flags, &body, &sequences)).unwrap();
        assert_eq!((reply.header.request_id, reply.header.response_to), (7, 3));
        assert_eq!(reply.message.more_to_come(), flags.contains(Flags::MORE_TO_COME));
        let Message::Msg(read) = reply.message else { panic!("not an OP_MSG") };
        assert_eq!(read.flags, flags);
        assert_eq!(read.body, body);
        let names: Vec<_> = read.sequences.iter().map(|s| s.identifier.as_str()).collect();
        assert_eq!(names, ["documents", "none"]);
        assert!(read.sequences[0].iter().eq(documents.iter().map(|d| &**d)));
        assert_eq!(read.sequences[1].iter().count(), 0);
    }
}

#[test]
fn a_sequence_may_stand_before_the_body() {
    let body = rawdoc! { "insert": "ports" };
    let mut buffer = Vec::new();
    let mut builder = OpMsgBuilder::begin(&mut buffer, 1, 0, Flags::NONE);
    builder.sequence(cstr!("documents"), [rawdoc! { "_id": 1 }].iter());
    builder.body(&body);
    builder.finish().unwrap();
    assert_eq!(Reply::parse(buffer).unwrap().message.into_document(), body);
}

#[test]
fn a_builder_appends_to_what_a_buffer_holds() {
    let mut buffer = vec![0xaa; 5];
    let mut builder = OpMsgBuilder::begin(&mut buffer, 1, 0, Flags::CHECKSUM_PRESENT);
    builder.body(&rawdoc! { "ping": 1 });
    let length = builder.finish().unwrap();
    assert_eq!(buffer.len(), 5 + length);
    assert!(Reply::parse(buffer.split_off(5)).is_ok());
}

#[test]
fn a_checksum_stands_at_the_end_and_is_checked() {
    let mut frame = message(Flags::CHECKSUM_PRESENT, &rawdoc! {}, &[]);
    let last = frame.len() - 1;
    frame[last] ^= 1;
    assert!(matches!(Reply::parse(frame), Err(WireError::Checksum { computed, found })
        if computed ^ found == 1 << 24));
}

// RK-42
#[test]
fn a_legacy_query_and_its_reply_come_back() {
    let command = rawdoc! { "isMaster": 1, "helloOk": true };
    let mut buffer = Vec::new();
    encode_query(&mut buffer, 9, &command).unwrap();
    assert_eq!(Header::of_frame(&buffer).unwrap().op_code, OpCode::Query);
    let query = OpQuery::parse(buffer.clone()).unwrap();
    assert_eq!((query.flags, query.namespace.as_str()), (4, "admin.$cmd"));
    assert_eq!(query.document, command);
    assert_eq!(Reply::parse(buffer), Err(WireError::UnexpectedOpCode(OpCode::Query)));

    let mut buffer = Vec::new();
    encode_reply(&mut buffer, 2, 9, &rawdoc! { "ok": 1 }).unwrap();
    let reply = Reply::parse(buffer).unwrap();
    assert_eq!(check_response(&reply.header, 9), Ok(()));
    assert!(!reply.message.more_to_come());
    assert_eq!(reply.message.document(), &*rawdoc! { "ok": 1 });
}

#[test]
fn a_legacy_reply_must_have_one_document_and_no_failure() {
    let reply = |flags: u32, count: i32, rest: &[u8]| {
        let mut body = flags.to_le_bytes().to_vec();
        body.extend_from_slice(&[0; 12]);
        body.extend_from_slice(&count.to_le_bytes());
        body.extend_from_slice(rest);
        Reply::parse(framed(1, &body)).unwrap_err()
    };
    let document = rawdoc! { "$err": "not master" };
    assert_eq!(reply(0, 0, &[]), WireError::WrongDocumentCount(0));
    assert_eq!(reply(0, -1, document.as_bytes()), WireError::WrongDocumentCount(-1));
    assert_eq!(reply(2, 1, document.as_bytes()), WireError::QueryFailure("not master".into()));
    let nameless = reply(2, 1, rawdoc! {}.as_bytes());
    assert_eq!(nameless, WireError::QueryFailure("no reason given".into()));
    let twice = [document.as_bytes(), &[1, 2]].concat();
    assert_eq!(reply(0, 1, &twice), WireError::TrailingBytes(2));
    assert_eq!(reply(0, 1, &[9, 0, 0, 0, 1]), WireError::Truncated { needed: 9, left: 5 });
}

#[test]
fn a_header_is_judged_as_soon_as_it_is_there() {
    let judge = |length: i32, op_code: i32| {
        let mut framer = Framer::new(1000);
        let mut header = framed(op_code, &[]);
        header[..4].copy_from_slice(&length.to_le_bytes());
        feed(&mut framer, &header[..15], 100);
        assert_eq!(framer.next_frame(), Ok(None));
        assert!(framer.is_mid_message());
        feed(&mut framer, &header[15..], 100);
        let answer = framer.next_frame();
        assert!(framer.capacity() <= 16 * 1024 + 1000);
        if answer.is_err() {
            for _ in 0..50 {
                framer.filled(framer.capacity().min(1));
                framer.unfilled(16 * 1024);
                assert_eq!(framer.next_frame(), answer, "the error stays");
            }
            assert!(framer.capacity() <= 33 * 1024, "what follows a bad header is not kept");
        }
        answer
    };
    assert_eq!(judge(-1, 2013), Err(WireError::Negative { length: -1 }));
    assert_eq!(judge(15, 2013), Err(WireError::TooShort { length: 15, least: 16 }));
    assert_eq!(judge(1001, 2013), Err(WireError::Oversized { length: 1001, max: 1000 }));
    assert_eq!(judge(100, 99), Err(WireError::UnknownOpCode(99)));
    assert_eq!(judge(1000, 2013), Ok(None));
    assert_eq!(judge(16, 2013).unwrap().unwrap().len(), 16);
}

#[test]
fn a_frame_must_be_as_long_as_its_header_says() {
    let mut frame = simple();
    frame.push(0);
    let (header, actual) = (frame.len() - 1, frame.len());
    assert_eq!(Reply::parse(frame), Err(WireError::WrongLength { header, actual }));
    assert_eq!(Reply::parse(vec![1; 3]), Err(WireError::TooShort { length: 3, least: 16 }));
    let compressed = Reply::parse(framed(2012, &[]));
    assert_eq!(compressed, Err(WireError::UnexpectedOpCode(OpCode::Compressed)));
}

#[test]
fn every_fault_of_a_message_has_its_error() {
    let empty = rawdoc! {};
    let body = [&[0][..], empty.as_bytes()].concat();
    let flags = |bits: u32, rest: &[u8]| msg_error(&[&bits.to_le_bytes()[..], rest].concat());
    let sections = |rest: &[u8]| flags(0, rest);
    let sequence = [1, 6, 0, 0, 0, b'a', 0];

    assert_eq!(msg_error(&[0; 3]), WireError::TooShort { length: 19, least: 20 });
    assert_eq!(flags(0b100 | 1 << 20, &body), WireError::UnknownFlagBits(0b100));
    assert_eq!(flags(1, &[0; 3]), WireError::TooShort { length: 23, least: 24 });
    assert_eq!(sections(&[]), WireError::MissingBody);
    assert_eq!(sections(&sequence), WireError::MissingBody);
    assert_eq!(sections(&[body.as_slice(), &body].concat()), WireError::DuplicateBody);
    assert_eq!(sections(&[2, 0, 0]), WireError::UnknownSection(2));
    let twice = [sequence, sequence].concat();
    assert_eq!(sections(&twice), WireError::DuplicateSequence("a".into()));
    let many: Vec<_> = (b'a'..=b'z').flat_map(|name| [1, 6, 0, 0, 0, name, 0]).collect();
    assert_eq!(sections(&many), WireError::TooManySections { max: 17 });
    assert_eq!(sections(&[0, 5, 0]), WireError::Truncated { needed: 4, left: 2 });
    assert_eq!(sections(&[0, 6, 0, 0, 0, 0]), WireError::Truncated { needed: 6, left: 5 });
    assert_eq!(sections(&[0, 4, 0, 0, 0]), WireError::TooShort { length: 4, least: 5 });
    assert_eq!(sections(&[0, 255, 255, 255, 255]), WireError::Negative { length: -1 });
    assert_eq!(sections(&[1, 5, 0, 0, 0, b'a']), WireError::Truncated { needed: 2, left: 1 });
    assert_eq!(sections(&[1, 7, 0, 0, 0, b'a', 0, 9]), WireError::Truncated { needed: 4, left: 1 });
    assert!(matches!(sections(&[0, 5, 0, 0, 0, 1]), WireError::BadBson(_)));
    assert!(matches!(sections(&[1, 6, 0, 0, 0, 0xff, 0]), WireError::BadBson(_)));
}

#[test]
fn unknown_optional_flag_bits_are_ignored() {
    let mut frame = simple();
    frame[18] |= 0xf0;
    assert!(Reply::parse(frame).is_ok());
}

#[test]
fn a_reply_of_another_request_is_refused() {
    let header = Header::of_frame(&simple()).unwrap();
    assert_eq!(check_response(&header, 3), Ok(()));
    let wrong = WireError::WrongResponse { expected: 4, found: 3 };
    assert_eq!(check_response(&header, 4), Err(wrong.clone()));
    assert_eq!(wrong.to_string(), "the reply answers request 3, not request 4");
}

#[test]
fn every_error_says_something_of_its_own() {
    let errors = [
        WireError::TooShort { length: 1, least: 16 },
        WireError::Negative { length: -1 },
        WireError::Oversized { length: 2, max: 1 },
        WireError::WrongLength { header: 1, actual: 2 },
        WireError::UnknownOpCode(5),
        WireError::UnexpectedOpCode(OpCode::Compressed),
        WireError::WrongResponse { expected: 1, found: 2 },
        WireError::Checksum { computed: 1, found: 2 },
        WireError::UnknownFlagBits(4),
        WireError::MissingBody,
        WireError::DuplicateBody,
        WireError::UnknownSection(2),
        WireError::DuplicateSequence("a".into()),
        WireError::TooManySections { max: 17 },
        WireError::BadBson("x".into()),
        WireError::Truncated { needed: 2, left: 1 },
        WireError::TrailingBytes(1),
        WireError::QueryFailure("x".into()),
        WireError::WrongDocumentCount(0),
        WireError::UnknownCompressor(4),
        WireError::CompressorNotOffered(Compressor::Zlib),
        WireError::WrongUncompressedSize { said: 1, actual: Some(2) },
        WireError::WrongUncompressedSize { said: 1, actual: None },
        WireError::Compression { compressor: Compressor::Zlib, message: "x".into() },
    ];
    let mut texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), errors.len());
    assert!(texts.iter().all(|text| text.len() > 10));
}

#[test]
fn frames_come_out_whole_however_the_bytes_arrive() {
    let big = rawdoc! { "text": "x".repeat(300_000) };
    let stream: Vec<Vec<u8>> = (0..40)
        .map(|i| match i % 13 {
            0 => message(Flags::NONE, &big, &[]),
            _ => message(Flags::NONE, &rawdoc! { "i": i }, &[]),
        })
        .collect();
    let bytes = stream.concat();
    for at_a_time in [1, 17, 1000, 70_000, usize::MAX] {
        let mut framer = Framer::new(LARGE);
        let mut frames = Vec::new();
        for part in bytes.chunks(at_a_time.min(bytes.len())) {
            for piece in part.chunks(5000) {
                feed(&mut framer, piece, usize::MAX);
                while let Some(frame) = framer.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
        }
        assert!(frames == stream, "{at_a_time} bytes at a time");
        assert!(!framer.is_mid_message());
        assert!(framer.capacity() <= 64 * 1024, "the buffer shrinks after a large message");
    }
}

#[test]
fn after_a_header_exactly_the_rest_is_asked_for() {
    let frame = message(Flags::NONE, &rawdoc! { "text": "x".repeat(100_000) }, &[]);
    let mut framer = Framer::new(LARGE);
    feed(&mut framer, &frame[..16], 16);
    assert_eq!(framer.unfilled(1).len(), frame.len() - 16);
    feed(&mut framer, &frame[16..], usize::MAX);
    assert_eq!(framer.next_frame().unwrap(), Some(frame));
}

#[test]
fn memory_follows_what_arrived_and_not_what_a_header_claims() {
    let mut framer = Framer::new(LARGE);
    let mut header = framed(2013, &[]);
    header[..4].copy_from_slice(&40_000_000_i32.to_le_bytes());
    feed(&mut framer, &header, 16);
    let mut arrived = 16;
    for _ in 0..100 {
        let room = framer.unfilled(1).len();
        assert!(room <= arrived.max(256 * 1024));
        framer.filled(room / 2);
        arrived += room / 2;
        assert!(framer.capacity() <= 2 * arrived + 512 * 1024);
        assert_eq!(framer.next_frame(), Ok(None));
    }
    assert!(framer.capacity() <= LARGE);
}

#[test]
fn a_lower_limit_counts_from_the_next_message_on() {
    let mut framer = Framer::new(LARGE);
    let frame = simple();
    feed(&mut framer, &frame, 100);
    framer.set_max(frame.len());
    assert_eq!(framer.next_frame(), Ok(Some(frame.clone())));
    framer.set_max(frame.len() - 1);
    feed(&mut framer, &frame, 100);
    let error = WireError::Oversized { length: frame.len(), max: frame.len() - 1 };
    assert_eq!(framer.next_frame(), Err(error));
}

/// Walks every value, as any later reader could.
fn walk(document: &RawDocument, depth: usize) {
    for element in document.iter_elements() {
        let Ok(element) = element else { return };
        let _ = element.value_utf8_lossy();
        match element.value() {
            Ok(RawBsonRef::Document(inner)) if depth < 50 => walk(inner, depth + 1),
            Ok(RawBsonRef::Array(inner)) if depth < 50 => {
                for value in inner {
                    if value.is_err() {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
}

fn corrupt(frame: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        let at = rng.below(frame.len());
        match rng.below(6) {
            0 => frame[at] ^= 1 << rng.below(8),
            1 => frame[at] = rng.next_u64() as u8,
            2 => frame.truncate(at.max(1)),
            3 => frame.insert(at, rng.next_u64() as u8),
            4 => {
                let number = [0, -1, i32::MAX, i32::MIN, 4, 48_000_000][rng.below(6)];
                let end = (at + 4).min(frame.len());
                frame[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
            }
            // A true length around false contents: the parser must not rely on the framer.
            _ => {
                let length = frame.len() as i32;
                if frame.len() >= 4 {
                    frame[..4].copy_from_slice(&length.to_le_bytes());
                }
            }
        }
    }
}

#[test]
fn ten_thousand_corruptions_end_in_a_message_or_an_error() {
    let body = rawdoc! {
        "hello": 1, "text": "abc", "nested": { "array": [1, 2.5, "x", { "y": true }] },
        "oid": bson::oid::ObjectId::from_bytes([7; 12]),
        "binary": bson::Binary { subtype: bson::spec::BinarySubtype::BinaryOld, bytes: vec![1; 9] },
        "regex": bson::Regex { pattern: cstr!("a+").into(), options: cstr!("i").into() },
        "code": bson::RawJavaScriptCodeWithScope { code: "f".into(), scope: rawdoc! { "a": 1 } },
        "time": bson::Timestamp { time: 1, increment: 2 },
    };
    let documents = vec![rawdoc! { "_id": 1, "a": { "b": "c" } }, rawdoc! { "_id": 2 }];
    let mut legacy = Vec::new();
    encode_reply(&mut legacy, 2, 9, &body).unwrap();
    let mut query = Vec::new();
    encode_query(&mut query, 2, &body).unwrap();
    let valid = [
        message(Flags::NONE, &body, &[]),
        message(Flags::CHECKSUM_PRESENT, &body, &[(cstr!("documents"), documents.clone())]),
        message(Flags::MORE_TO_COME, &body, &[(cstr!("documents"), documents)]),
        legacy,
        query,
    ];
    let max = 100_000;
    let mut outcomes = [0; 2];
    for seed in 0..10_000 {
        let mut rng = Rng::seeded(seed);
        let mut frame = valid[rng.below(valid.len())].clone();
        corrupt(&mut frame, &mut rng);
        let _ = OpQuery::parse(frame.clone()).map(|query| walk(&query.document, 0));

        let mut framer = Framer::new(max);
        feed(&mut framer, &frame, 1 + rng.below(200));
        assert!(framer.capacity() <= max + 16 * 1024, "seed {seed}");
        for frame in [Ok(Some(frame)), framer.next_frame()].into_iter().flatten().flatten() {
            let parsed = Reply::parse(frame);
            outcomes[usize::from(parsed.is_ok())] += 1;
            if let Ok(reply) = parsed {
                walk(reply.message.document(), 0);
                if let Message::Msg(message) = &reply.message {
                    message.sequences.iter().for_each(|s| s.iter().for_each(|d| walk(d, 0)));
                }
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 500), "both outcomes are tested: {outcomes:?}");
}
