//! A reply in the form in which a server would have sent it, for snapshots.
//!
//! serde's way for so many fields is a tenth of the wasm module, and the parser is there anyway.

use bson::raw::cstr;
use bson::{RawArrayBuf, RawDocumentBuf};

use super::HelloReply;
use crate::engine::address::ServerAddress;

impl HelloReply {
    /// A document that [`parse`](Self::parse) makes an equal reply of.
    pub fn to_document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        let flags = [
            (cstr!("ok"), true),
            (cstr!("helloOk"), self.hello_ok),
            (cstr!("isWritablePrimary"), self.is_writable_primary),
            (cstr!("isreplicaset"), self.is_replica_set_ghost),
            (cstr!("secondary"), self.secondary),
            (cstr!("arbiterOnly"), self.arbiter_only),
            (cstr!("hidden"), self.hidden),
            (cstr!("iscryptd"), self.iscryptd),
        ];
        for (name, _) in flags.iter().filter(|(_, is_set)| *is_set) {
            document.append(*name, true);
        }
        let primary = self.primary.as_ref().map(ToString::to_string);
        let texts = [
            (cstr!("msg"), self.is_mongos.then_some("isdbgrid")),
            (cstr!("setName"), self.set_name.as_deref()),
            (cstr!("me"), self.me.as_deref()),
            (cstr!("primary"), primary.as_deref()),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                document.append(name, text);
            }
        }
        document.append(cstr!("hosts"), addresses(&self.hosts));
        document.append(cstr!("passives"), addresses(&self.passives));
        document.append(cstr!("arbiters"), addresses(&self.arbiters));
        document.append(cstr!("compression"), array(self.compression.iter().cloned()));
        self.append_tags(&mut document);
        self.append_numbers(&mut document);
        self.append_marks(&mut document);
        document
    }

    fn append_tags(&self, document: &mut RawDocumentBuf) {
        let mut tags = RawDocumentBuf::new();
        for (name, value) in &self.tags {
            // A tag came as a field's name, so that no byte of it is 0.
            if let Ok(name) = <&bson::raw::CStr>::try_from(name.as_str()) {
                tags.append(name, value.as_str());
            }
        }
        document.append(cstr!("tags"), tags);
    }

    fn append_numbers(&self, document: &mut RawDocumentBuf) {
        let numbers = [
            (cstr!("setVersion"), self.set_version),
            (cstr!("logicalSessionTimeoutMinutes"), self.logical_session_timeout_minutes),
            (cstr!("minWireVersion"), Some(self.min_wire_version.into())),
            (cstr!("maxWireVersion"), Some(self.max_wire_version.into())),
            (cstr!("maxBsonObjectSize"), self.max_bson_object_size.map(i64::from)),
            (cstr!("maxMessageSizeBytes"), self.max_message_size_bytes.map(i64::from)),
            (cstr!("maxWriteBatchSize"), self.max_write_batch_size.map(i64::from)),
            (cstr!("connectionId"), self.connection_id),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                document.append(name, number);
            }
        }
    }

    fn append_marks(&self, document: &mut RawDocumentBuf) {
        for (name, id) in
            [(cstr!("electionId"), self.election_id), (cstr!("serviceId"), self.service_id)]
        {
            if let Some(id) = id {
                document.append(name, id);
            }
        }
        if let Some(version) = self.topology_version {
            let mut of = RawDocumentBuf::new();
            of.append(cstr!("processId"), version.process_id);
            of.append(cstr!("counter"), version.counter);
            document.append(cstr!("topologyVersion"), of);
        }
        let mut last_write = RawDocumentBuf::new();
        if let Some(date) = self.last_write_date {
            last_write.append(cstr!("lastWriteDate"), date);
        }
        if let Some(time) = self.last_write_op_time {
            last_write.append(cstr!("opTime"), time);
        }
        document.append(cstr!("lastWrite"), last_write);
    }
}

fn addresses(addresses: &[ServerAddress]) -> RawArrayBuf {
    array(addresses.iter().map(ToString::to_string))
}

fn array(texts: impl Iterator<Item = String>) -> RawArrayBuf {
    let mut array = RawArrayBuf::new();
    texts.for_each(|text| array.push(text));
    array
}

#[cfg(test)]
mod tests {
    use crate::engine::map::SortedMap;

    use bson::oid::ObjectId;
    use bson::{DateTime, Timestamp};

    use super::*;
    use crate::engine::hello::TopologyVersion;

    /// Every field differs from its default; a new field does not compile before it is here.
    fn full() -> HelloReply {
        let address = |text: &str| text.parse::<ServerAddress>().unwrap();
        HelloReply {
            hello_ok: true,
            is_writable_primary: true,
            is_mongos: true,
            is_replica_set_ghost: true,
            set_name: Some("rs".to_owned()),
            secondary: true,
            arbiter_only: true,
            hidden: true,
            me: Some("a:1".to_owned()),
            hosts: vec![address("a:1"), address("[fe80::1%eth0]:2")],
            passives: vec![address("/tmp/mongodb-3.sock")],
            arbiters: vec![address("c:4")],
            primary: Some(address("a:1")),
            tags: SortedMap::from([("dc".to_owned(), "ny".to_owned())]),
            set_version: Some(i64::MAX),
            election_id: Some(ObjectId::from_bytes([1; 12])),
            last_write_date: Some(DateTime::from_millis(-1)),
            last_write_op_time: Some(Timestamp { time: u32::MAX, increment: 7 }),
            logical_session_timeout_minutes: Some(30),
            topology_version: Some(TopologyVersion {
                process_id: ObjectId::from_bytes([2; 12]),
                counter: i64::MIN,
            }),
            min_wire_version: -1,
            max_wire_version: i32::MAX,
            max_bson_object_size: Some(i32::MIN),
            max_message_size_bytes: Some(0),
            max_write_batch_size: Some(100_000),
            connection_id: Some(5),
            service_id: Some(ObjectId::from_bytes([3; 12])),
            compression: vec!["zlib".to_owned()],
            iscryptd: true,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for reply in [full(), HelloReply::default()] {
            assert_eq!(HelloReply::parse(&reply.to_document()), Ok(reply));
        }
    }
}
