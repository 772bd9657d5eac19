//! One connection of an operation: a handshake, then one exchange after another.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bson::RawDocumentBuf;
use futures_util::future::{Either, select};

use super::authenticate::{Authentication, Proof};
use super::framed::{Framed, FramedError, Interrupt};
use super::open::{OpenError, Opener};
use super::pool::Slot;
use crate::engine::auth::{AuthFailure, Conversation, Opening};
use crate::engine::hello::{ClientMetadata, HelloCommand, HelloReply, ReplyError, ServerApi};
use crate::engine::op::Limits;
use crate::engine::pool::{Generation, Permit};
use crate::engine::sdam::Stage;
use crate::engine::time::{Instant, Shown};
use crate::engine::wire::{
    self, Compression, DEFAULT_MAX_MESSAGE_SIZE, FRAME_SLACK, Flags, WireError,
};
use crate::transport::Transport;

/// Bytes above which a connection's write buffer is not kept for the next request.
const KEPT_BUFFER: usize = 256 * 1024;

/// How long a connection may have rested and is used without a look.
const REST: Duration = Duration::from_secs(1);

/// Why an exchange, or a handshake, failed.
#[derive(Debug)]
pub(crate) enum ConnectionError {
    /// There is no stream.
    Open(OpenError),
    /// The stream broke, what arrived was no message, or the pool interrupted it.
    Framed(FramedError),
    /// Longer than the limit.
    Timeout { what: &'static str, limit: Duration },
    /// The request cannot be sent; nothing was.
    Unsendable(WireError),
    /// The server's reply to hello is an error, or no reply to hello.
    Hello(ReplyError),
    /// Client or server could not prove who it is.
    Authentication(Box<AuthFailure>),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Framed(error) => error.fmt(f),
            Self::Timeout { what, limit } => write!(f, "{what} within {}", Shown(*limit)),
            Self::Unsendable(error) => error.fmt(f),
            Self::Hello(error) => error.fmt(f),
            Self::Authentication(failure) => failure.fmt(f),
        }
    }
}

impl ConnectionError {
    /// How far a connection had come whose hello ended with this: a hello carries the first words
    /// of the authentication, and their answer.
    fn stage_of_greeting(&self) -> Stage {
        match self {
            Self::Authentication(_) => Stage::Authenticating,
            Self::Open(error) if !error.kind.may_be_overload() => Stage::Preparing,
            _ => Stage::Handshaking,
        }
    }
}

impl From<FramedError> for ConnectionError {
    fn from(error: FramedError) -> Self {
        Self::Framed(error)
    }
}

impl From<WireError> for ConnectionError {
    fn from(error: WireError) -> Self {
        Self::Framed(error.into())
    }
}

impl From<AuthFailure> for ConnectionError {
    fn from(failure: AuthFailure) -> Self {
        Self::Authentication(Box::new(failure))
    }
}

/// What the making of a connection needs.
pub(crate) struct Handshake<'a> {
    pub(crate) opener: &'a Opener,
    pub(crate) metadata: &'a ClientMetadata,
    pub(crate) load_balanced: bool,
    pub(crate) server_api: Option<ServerApi>,
    /// Who the client is; `None` for nobody.
    pub(crate) authentication: Option<&'a Authentication>,
    pub(crate) compression: Compression,
    pub(crate) patience: Patience,
}

/// How long the making of a connection may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// `connectTimeoutMS`: for the stream and the hello; for each command of an authentication,
    /// where `command` does not say otherwise.
    pub(crate) connect: Option<Duration>,
    /// For each command of an authentication. The prose of CSOT has it count for the hello too; its
    /// tests (command-execution.json) want connections whose hello takes longer.
    pub(crate) command: Option<Duration>,
    /// For everything: the end of the time of the operation that waits for it.
    pub(crate) until: Option<Instant>,
}

impl Patience {
    fn left(&self, now: Instant) -> Option<Duration> {
        self.until.map(|until| until - now)
    }

    /// For the stream and the hello, from now on.
    fn greeting(&self, now: Instant) -> Option<Duration> {
        [self.connect, self.left(now)].into_iter().flatten().min()
    }

    /// For each command of an authentication.
    fn authenticating(&self) -> Option<Duration> {
        self.command.or(self.connect)
    }
}

/// A stream on which a monitor has shaken hands, for an operation.
pub(crate) struct Offered {
    pub(crate) framed: Framed,
    /// What the server said of itself on it.
    pub(crate) hello: Arc<HelloReply>,
    /// The authentication that began in it, and the server's whole answer.
    pub(crate) opening: Option<(Opening, RawDocumentBuf)>,
}

/// Both ends' names of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) connection_id: u64,
    pub(crate) server_connection_id: Option<i64>,
    /// Behind a load balancer: which server.
    pub(crate) service_id: Option<bson::oid::ObjectId>,
}

/// One connection.
pub(crate) struct Connection {
    framed: Framed,
    compression: Compression,
    buffer: Vec<u8>,
    permit: Permit,
    /// As the permit's, or behind a load balancer that of the server.
    generation: Generation,
    next_request: i32,
    hello: Arc<HelloReply>,
    /// How the client has proved who it is.
    proof: Proof,
    interrupt: Arc<Interrupt>,
    /// When the latest exchange ended.
    last_used: Instant,
    /// An exchange has begun and not ended: what comes next on the stream is unknown.
    busy: bool,
    /// An authentication has begun and not ended.
    proving: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("permit", &self.permit).finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens a connection and shakes hands, or takes the one that a monitor has offered, and
    /// authenticates; a failure says how far that came.
    pub(crate) async fn establish(
        transport: &dyn Transport,
        slot: &Slot,
        handshake: Handshake<'_>,
    ) -> Result<Self, (Stage, ConnectionError)> {
        let (patience, address) = (handshake.patience, slot.address());
        let limit = patience.greeting(transport.now());
        let offered = slot.take_offered();
        let greeting = async {
            if let Some(Offered { mut framed, hello, opening }) = offered
                && framed.is_silent().await
            {
                let now = transport.now();
                let mut connection = Self::over(framed, slot, now);
                connection.compression = handshake.compression.clone();
                let who = handshake.authentication;
                let conversation = match opening {
                    Some((opening, answer)) => Some(opening.answered(&hello, &answer)?),
                    None => who.map(|who| who.conversation(&hello)).transpose()?,
                };
                connection.greeted(hello);
                return Ok((connection, conversation));
            }
            let stream = handshake.opener.open(transport, address).await;
            let stream = stream.map_err(ConnectionError::Open)?;
            let framed = Framed::new(stream, DEFAULT_MAX_MESSAGE_SIZE);
            let mut connection = Self::over(framed, slot, transport.now());
            connection.compression = handshake.compression.clone();
            let conversation = connection.say_hello(transport, slot, &handshake).await?;
            Ok((connection, conversation))
        };
        let work = async {
            let greeted = within(transport, limit, "no connection", greeting).await;
            let (mut connection, conversation) = greeted.map_err(|e| (e.stage_of_greeting(), e))?;
            if let (Some(who), Some(conversation)) = (handshake.authentication, conversation) {
                let (each, left) = (patience.authenticating(), patience.left(transport.now()));
                let proof = connection.authenticate(transport, address, each, who, conversation);
                let proved = within(transport, left, "no authentication", proof).await;
                proved.map_err(|error| (Stage::Authenticating, error))?;
            }
            Ok(connection)
        };
        match select(pin!(work), pin!(slot.interrupt().raised())).await {
            Either::Left((made, _)) => made,
            Either::Right((error, _)) => Err((Stage::Handshaking, error.into())),
        }
    }

    fn over(framed: Framed, slot: &Slot, now: Instant) -> Self {
        let permit = slot.permit();
        Self {
            framed,
            compression: Compression::default(),
            buffer: Vec::new(),
            permit,
            generation: Generation { number: permit.generation, service_id: None },
            next_request: 1,
            hello: Arc::default(),
            proof: Proof::default(),
            interrupt: slot.interrupt().clone(),
            last_used: now,
            busy: false,
            proving: false,
        }
    }

    /// The server has said what it is.
    fn greeted(&mut self, hello: Arc<HelloReply>) {
        let max = Limits::of(&hello).max_message_size_bytes;
        self.framed.set_max_message_size(max.saturating_add(FRAME_SLACK));
        self.compression.settle(&hello.compression);
        self.hello = hello;
    }

    /// The first hello; what it began of the authentication goes on with the conversation.
    async fn say_hello(
        &mut self,
        transport: &dyn Transport,
        slot: &Slot,
        handshake: &Handshake<'_>,
    ) -> Result<Option<Conversation>, ConnectionError> {
        let opening = handshake.authentication.map(Authentication::opening).transpose()?;
        let compression = self.compression.names();
        let command = HelloCommand {
            client_metadata: Some(handshake.metadata),
            load_balanced: handshake.load_balanced,
            server_api: handshake.server_api,
            compression: &compression,
            sasl_supported_mechs: opening.as_ref().and_then(|it| it.sasl_supported_mechs()),
            speculative_authenticate: opening.as_ref().and_then(|it| it.speculative_authenticate()),
            ..HelloCommand::default()
        };
        let reply = self
            .exchange(transport, None, |buffer, request| {
                command.encode(buffer, request).map(|_| Flags::NONE)
            })
            .await?;
        let Some(reply) = reply else { return Ok(None) };
        let document = reply.message.document();
        let hello = HelloReply::parse(document).map_err(ConnectionError::Hello)?;
        hello.check_load_balanced(handshake.load_balanced).map_err(ConnectionError::Hello)?;
        if handshake.load_balanced {
            self.generation = slot.greeted(hello.service_id);
        }
        self.greeted(Arc::new(hello));
        let answered = opening.map(|opening| opening.answered(&self.hello, document));
        Ok(answered.transpose()?)
    }

    /// Sends one request and reads its reply; `None` where the request asks for none.
    ///
    /// Dropping the future leaves the connection unusable, and it will be closed.
    pub(crate) async fn exchange(
        &mut self,
        transport: &dyn Transport,
        limit: Option<Duration>,
        encode: impl FnOnce(&mut Vec<u8>, i32) -> Result<Flags, WireError>,
    ) -> Result<Option<wire::Reply>, ConnectionError> {
        let request = self.next_request;
        self.next_request = request.wrapping_add(1);
        self.buffer.clear();
        let flags = encode(&mut self.buffer, request).map_err(ConnectionError::Unsendable)?;
        self.compression.pack(&mut self.buffer).map_err(ConnectionError::Unsendable)?;
        self.busy = true;
        let interrupt = self.interrupt.clone();
        let work = async {
            self.framed.write(&self.buffer).await?;
            if flags.contains(Flags::MORE_TO_COME) {
                return Ok(None);
            }
            let arrival = self.framed.read(transport, Some(&interrupt)).await?;
            let max = self.framed.max_message_size();
            let reply = wire::Reply::parse(self.compression.unpack(arrival.frame, max)?)?;
            wire::check_response(&reply.header, request)?;
            Ok(Some(reply))
        };
        let reply = within(transport, limit, "no reply", work).await?;
        let unasked = reply.as_ref().is_some_and(|reply| reply.message.more_to_come());
        // What was not asked for must not be taken for the next answer.
        self.busy = unasked || self.framed.has_more();
        self.last_used = transport.now();
        if self.buffer.capacity() > KEPT_BUFFER {
            self.buffer = Vec::new();
        }
        Ok(reply)
    }

    /// Whether the server has neither closed the connection since its latest use nor sent anything.
    /// Looked at only after a rest: an operation right behind another pays nothing for it.
    pub(crate) async fn is_alive(&mut self, now: Instant) -> bool {
        if now - self.last_used < REST {
            return true;
        }
        let silent = self.framed.is_silent().await;
        self.busy |= !silent;
        silent
    }

    /// Lends the stream to a monitor; until [`Connection::returned`] the connection is unusable.
    pub(crate) fn lent(&mut self) -> &mut Framed {
        self.busy = true;
        &mut self.framed
    }

    /// The monitor's exchange on the stream has ended.
    pub(crate) fn returned(&mut self, now: Instant) {
        self.busy = self.framed.has_more();
        self.last_used = now;
    }

    /// For how long nobody has used the connection.
    pub(crate) fn rested(&self, now: Instant) -> Duration {
        now - self.last_used
    }

    /// Whether the next exchange can begin.
    pub(crate) fn is_usable(&self) -> bool {
        !self.busy && !self.proving
    }

    /// How the client has proved who it is.
    pub(super) fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The outcome of an authentication; `None` while it is under way, so that a connection on
    /// which it does not end is not used.
    pub(super) fn prove(&mut self, proof: Option<Proof>) {
        self.proving = proof.is_none();
        if let Some(proof) = proof {
            self.proof = proof;
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.permit.connection_id
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation
    }

    /// Who is at both ends.
    pub(crate) fn peer(&self) -> Peer {
        Peer {
            connection_id: self.id(),
            server_connection_id: self.hello.connection_id,
            service_id: self.generation.service_id,
        }
    }

    /// What the server said of itself in the handshake.
    pub(crate) fn hello(&self) -> &Arc<HelloReply> {
        &self.hello
    }
}

/// `work`, if it ends within `limit`.
async fn within<T>(
    transport: &dyn Transport,
    limit: Option<Duration>,
    what: &'static str,
    work: impl Future<Output = Result<T, ConnectionError>>,
) -> Result<T, ConnectionError> {
    let Some(limit) = limit else { return work.await };
    let deadline = transport.sleep_until(transport.now() + limit);
    match select(pin!(work), deadline).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), _)) => Err(ConnectionError::Timeout { what, limit }),
    }
}
