//! Messages from a server.

use bson::raw::CStr;
use portolan::engine::wire::{
    Compression, Compressor, Framer, Message, OpMsg, OpMsgBuilder, Reply, WireError,
};

/// The largest message that the properties accept: small, so that the limit is met.
const MAX: usize = 64 * 1024;

/// Messages in a row: they are cut the same however they arrive, and what was read from one says
/// the same when it is written again.
pub fn op_msg(bytes: &[u8]) {
    let Some((&chunk, stream)) = bytes.split_first() else { return };
    let (whole, end) = frames(stream, stream.len().max(1));
    let (pieces, other_end) = frames(stream, usize::from(chunk).max(1));
    assert_eq!(whole, pieces, "the cuts depend on how bytes arrive");
    assert_eq!(end, other_end);
    let compression = Compression::offer(&Compressor::ALL, -1);
    for frame in whole {
        assert!(frame.len() <= MAX);
        let Ok(frame) = compression.unpack(frame, MAX) else { continue };
        assert!(frame.len() <= MAX, "an unpacked message is larger than allowed");
        if let Ok(reply) = Reply::parse(frame) {
            again(&reply);
        }
    }
}

fn frames(stream: &[u8], chunk: usize) -> (Vec<Vec<u8>>, Option<WireError>) {
    let mut framer = Framer::new(MAX);
    let mut frames = Vec::new();
    let mut rest = stream;
    loop {
        match framer.next_frame() {
            Ok(Some(frame)) => frames.push(frame),
            Ok(None) if rest.is_empty() => return (frames, None),
            Ok(None) => {
                let room = framer.unfilled(1);
                assert!(!room.is_empty());
                let count = room.len().min(chunk).min(rest.len());
                room[..count].copy_from_slice(&rest[..count]);
                framer.filled(count);
                rest = &rest[count..];
            }
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(framer.next_frame(), Err(error.clone()), "an error is for ever");
                return (frames, Some(error));
            }
        }
    }
}

/// Writes what was read, and reads that.
fn again(reply: &Reply) {
    // Lengths were checked; what is inside a document shows when it is iterated.
    for element in reply.message.document() {
        if element.is_err() {
            break;
        }
    }
    let Message::Msg(message) = &reply.message else { return };
    let mut buffer = Vec::new();
    let (request_id, response_to) = (reply.header.request_id, reply.header.response_to);
    let mut writer = OpMsgBuilder::begin(&mut buffer, request_id, response_to, message.flags);
    writer.body(&message.body);
    for sequence in &message.sequences {
        let Ok(identifier) = <&CStr>::try_from(sequence.identifier.as_str()) else {
            panic!("a name with a zero byte");
        };
        let documents: Vec<_> = sequence.iter().map(ToOwned::to_owned).collect();
        writer.sequence(identifier, documents.iter());
    }
    let length = writer.finish().expect("what was read is no longer than it was");
    assert_eq!(length, buffer.len());
    let read = Reply::parse(buffer).expect("what was written can be read");
    assert_eq!((read.header.request_id, read.header.response_to), (request_id, response_to));
    let Message::Msg(OpMsg { flags, body, sequences }) = read.message else { panic!("no OP_MSG") };
    assert_eq!((flags, &body, &sequences), (message.flags, &message.body, &message.sequences));
}
