//! A server's hello reply.

use bson::RawDocument;
use portolan::engine::hello::HelloReply;

/// Any document is a reply or is refused; what was read from it is written into recordings and
/// snapshots, and read back as it was.
pub fn hello(bytes: &[u8]) {
    let Ok(document) = RawDocument::from_bytes(bytes) else { return };
    let reply = match HelloReply::parse(document) {
        Ok(reply) => reply,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let json = serde_json::to_string(&reply).expect("a reply is plain data");
    let read: HelloReply = serde_json::from_str(&json).expect("what was written can be read");
    assert_eq!(read, reply, "{json}");
    for member in reply.members() {
        assert_eq!(member.to_string().parse().as_ref(), Ok(member));
    }
    let _ = reply.check_load_balanced(true);
}
