//! `ping`: whether a server answers.

use bson::raw::cstr;
use bson::{RawDocumentBuf, rawdoc};

use super::{
    BuildError, CommandBuilder, CommandContext, Operation, OperationKind, ReplyFailure, reply,
};
use crate::engine::hello::ServerApi;
use crate::engine::wire::{Flags, OpMsgBuilder, WireError};

/// Asks a server for a sign of life.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ping;

impl Ping {
    /// Writes a ping that belongs to no operation behind `into`.
    ///
    /// # Errors
    ///
    /// None: it is far shorter than the longest message.
    pub fn encode(
        into: &mut Vec<u8>,
        request_id: i32,
        server_api: Option<ServerApi>,
    ) -> Result<Flags, WireError> {
        let mut command = rawdoc! { "ping": 1, "$db": "admin" };
        if let Some(api) = server_api {
            api.append_to(&mut command);
        }
        let mut builder = OpMsgBuilder::begin(into, request_id, 0, Flags::NONE);
        builder.body(&command);
        builder.finish()?;
        Ok(Flags::NONE)
    }
}

impl Operation for Ping {
    type Output = ();

    fn name(&self) -> &str {
        "ping"
    }

    fn kind(&self) -> OperationKind {
        OperationKind::Generic
    }

    fn build<'a>(
        &'a self,
        _: &CommandContext<'_>,
        into: &mut CommandBuilder<'a>,
    ) -> Result<(), BuildError> {
        into.append(cstr!("ping"), 1);
        Ok(())
    }

    fn read(&self, reply: RawDocumentBuf, _: &CommandContext<'_>) -> Result<(), ReplyFailure> {
        reply::check(&reply).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;
    use crate::engine::op::testing::plain;

    #[test]
    fn ping_is_answered_or_not() {
        assert_eq!(plain(&Ping), doc! { "ping": 1, "$db": "harbour" });
        let context = CommandContext::new("admin");
        assert_eq!(Ping.read(rawdoc! { "ok": 1 }, &context), Ok(()));
        assert!(Ping.read(rawdoc! { "ok": 0 }, &context).is_err());
    }
}
