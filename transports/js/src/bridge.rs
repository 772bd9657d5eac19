//! The transport: one tunnel through the bridge, dialled when needed.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared, WeakShared};
use portolan::SortedMap;
use portolan::engine::address::ServerAddress;
use portolan::transport::{
    BoxFuture, BoxStream, ByteStream, DnsRecord, Instant, KeyRequest, RecordKind, Transport,
    io_error,
};
use portolan_mux::{
    ClientTunnel, Limits, MessageIo, Question, Record, RecordType, Target, TunnelStream,
};
use web_sys::Url;

use crate::clock::Clock;
use crate::crypto;
use crate::socket::{Socket, thrown};
use crate::sockets::{self, Host};

/// Reaches the members of a deployment through a Portolan bridge.
///
/// All clients of a page that name the same bridge and show the same token share one tunnel while
/// it has room: a second client's first connection costs no round trip.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// let transport = portolan_js::Bridge::new("wss://bridge.example/tunnel")?;
/// # let _ = transport;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Bridge {
    url: String,
    token: Option<String>,
    clock: Clock,
    /// Found at the first use, when the token is known.
    tunnel: RefCell<Option<Rc<RefCell<Tunnel>>>>,
    host: Option<Host>,
    name: Option<String>,
}

/// The tunnel all streams share, or the one attempt to have it.
enum Tunnel {
    Closed,
    /// Weak: the attempt ends with the last `connect` that waits for it.
    Dialing(WeakShared<Dial>),
    Open(Live),
}

type Dial = LocalBoxFuture<'static, Result<Live, Rc<io::Error>>>;

#[derive(Clone)]
struct Live {
    client: ClientTunnel,
    arrived: Rc<Cell<Option<Instant>>>,
    /// The clock of whoever dialled, which has read when messages arrived.
    clock: Clock,
}

impl Bridge {
    /// A transport through the bridge's tunnel at `url`: `ws:` or `wss:` (`http:` and `https:` mean
    /// the same), absolute or relative to the page. Nothing is dialled yet.
    ///
    /// # Errors
    ///
    /// `url` is none, or of another scheme.
    pub fn new(url: &str) -> io::Result<Self> {
        let url = web_socket_url(url)?;
        let (clock, tunnel) = (Clock::new(), RefCell::default());
        Ok(Self { url, token: None, clock, tunnel, host: None, name: None })
    }

    /// Shows the bridge this token, each time the tunnel is dialled.
    ///
    /// # Errors
    ///
    /// It has characters that no token has that a browser can send.
    pub fn with_token(mut self, token: &str) -> io::Result<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if token.is_empty() || !token.bytes().all(fits) {
            let text = "the bridge's token is empty, or has characters that no token has";
            return Err(io_error(io::ErrorKind::InvalidInput, text));
        }
        self.token = Some(token.to_owned());
        Ok(self)
    }

    /// The same on this host: its name, and its DNS where it has one.
    #[must_use]
    pub fn on(mut self, host: Host) -> Self {
        self.name = Some(host.name());
        self.host = Some(host);
        self
    }

    /// The tunnel of all clients of this bridge and token.
    fn tunnel(&self) -> Rc<RefCell<Tunnel>> {
        let mut own = self.tunnel.borrow_mut();
        let find = || TUNNELS.with_borrow_mut(|tunnels| shared(tunnels, &self.url, &self.token));
        own.get_or_insert_with(find).clone()
    }

    /// Opens a stream; where others have filled the tunnel, in one of its own from then on.
    async fn open(&self, target: &Target) -> io::Result<(TunnelStream, Live)> {
        let live = self.live().await?;
        match live.client.open(target).await {
            Ok(stream) => Ok((stream, live)),
            Err(error) if error.kind() == io::ErrorKind::QuotaExceeded && self.is_shared() => {
                *self.tunnel.borrow_mut() = Some(Rc::new(RefCell::new(Tunnel::Closed)));
                let live = self.live().await?;
                Ok((live.client.open(target).await?, live))
            }
            Err(error) => Err(error),
        }
    }

    fn is_shared(&self) -> bool {
        self.tunnel.borrow().as_ref().is_some_and(|tunnel| Rc::strong_count(tunnel) > 1)
    }

    async fn live(&self) -> io::Result<Live> {
        let tunnel = self.tunnel();
        let attempt = match self.current(&tunnel) {
            Ok(live) => return Ok(live),
            Err(attempt) => attempt,
        };
        let dialled = attempt.await;
        *tunnel.borrow_mut() = match &dialled {
            Ok(live) => Tunnel::Open(live.clone()),
            Err(_) => Tunnel::Closed,
        };
        dialled.map_err(|error| io_error(error.kind(), error.to_string()))
    }

    /// The open tunnel, else the attempt that is under way, else a new one.
    fn current(&self, tunnel: &RefCell<Tunnel>) -> Result<Live, Shared<Dial>> {
        let mut tunnel = tunnel.borrow_mut();
        match &*tunnel {
            Tunnel::Open(live) if !live.client.is_closed() => return Ok(live.clone()),
            Tunnel::Dialing(attempt) => {
                if let Some(attempt) = attempt.upgrade() {
                    return Err(attempt);
                }
            }
            Tunnel::Open(_) | Tunnel::Closed => {}
        }
        let dial = dial(self.url.clone(), self.token.clone(), self.clock);
        let attempt = dial.map(|result| result.map_err(Rc::new)).boxed_local().shared();
        if let Some(weak) = attempt.downgrade() {
            *tunnel = Tunnel::Dialing(weak);
        }
        Err(attempt)
    }
}

/// Tunnels by bridge and token, for as long as any client has one.
type Tunnels = SortedMap<(String, Option<String>), Weak<RefCell<Tunnel>>>;

thread_local! {
    static TUNNELS: RefCell<Tunnels> = const { RefCell::new(SortedMap::new()) };
}

fn shared(tunnels: &mut Tunnels, url: &str, token: &Option<String>) -> Rc<RefCell<Tunnel>> {
    tunnels.retain(|_, tunnel| tunnel.strong_count() > 0);
    let known = tunnels.get_or_insert_with((url.to_owned(), token.clone()), Weak::new);
    known.upgrade().unwrap_or_else(|| {
        let tunnel = Rc::new(RefCell::new(Tunnel::Closed));
        *known = Rc::downgrade(&tunnel);
        tunnel
    })
}

async fn dial(url: String, token: Option<String>, clock: Clock) -> io::Result<Live> {
    let socket = Socket::dial(url, token, clock).await?;
    let arrived = socket.arrived();
    let (client, driver) = ClientTunnel::new(MessageIo::new(socket), Limits::default());
    // How it ended is told to every stream and to the next `open`.
    wasm_bindgen_futures::spawn_local(driver.map(drop));
    Ok(Live { client, arrived, clock })
}

fn web_socket_url(text: &str) -> io::Result<String> {
    let invalid = |why: &str| {
        let text = format!("\"{text}\" is not the address of a bridge: {why}");
        io_error(io::ErrorKind::InvalidInput, text)
    };
    let url = match page_address() {
        Some(base) => Url::new_with_base(text, &base),
        None => Url::new(text),
    };
    let url = url.map_err(|error| invalid(&thrown(error).to_string()))?;
    let scheme = match url.protocol().as_str() {
        "ws:" | "http:" => "ws:",
        "wss:" | "https:" => "wss:",
        other => return Err(invalid(&format!("{other} is neither ws: nor wss:"))),
    };
    url.set_protocol(scheme);
    url.set_hash("");
    Ok(url.href())
}

/// Where this page or worker came from, if it is one.
fn page_address() -> Option<String> {
    let location = js_sys::Reflect::get(&js_sys::global(), &"location".into()).ok()?;
    js_sys::Reflect::get(&location, &"href".into()).ok()?.as_string()
}

#[async_trait(?Send)]
impl Transport for Bridge {
    fn runtime(&self) -> &str {
        self.name.as_deref().unwrap_or("JavaScript")
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(self.clock.sleep_until(deadline))
    }

    async fn salted_password(&self, request: &KeyRequest) -> Option<Vec<u8>> {
        crypto::salted_password(request).await
    }

    async fn connect(&self, target: &ServerAddress) -> io::Result<BoxStream> {
        let ServerAddress::Tcp { host, port } = target else {
            let text = format!("{target} is a Unix domain socket, which no bridge reaches");
            return Err(io_error(io::ErrorKind::Unsupported, text));
        };
        let target = Target::new(host, *port)?;
        // Not answered yet: the first hello travels with the request, and `held_up` tells what its
        // time contains of the bridge's dialling.
        let (inner, live) = self.open(&target).await?;
        let clocks = (self.clock, live.clock);
        Ok(Box::new(Stamped { inner, latest: live.arrived, clocks, arrived: None }))
    }

    /// Asks the host's DNS where it has one; else the bridge, which answers for the names that its
    /// deployment's configuration has.
    async fn resolve(&self, name: &str, kind: RecordKind) -> io::Result<Vec<DnsRecord>> {
        if let Some(host) = self.host.as_ref().filter(|host| sockets::has_dns(host)) {
            return sockets::resolve(host, name, kind).await;
        }
        let record_type = match kind {
            RecordKind::Srv => RecordType::Srv,
            RecordKind::Txt => RecordType::Txt,
        };
        let question = Question::new(name, record_type)?;
        let records = self.live().await?.client.look_up(&question).await?;
        let found = records.into_iter().map(|record| match record {
            Record::Srv { host, port, ttl } => DnsRecord::Srv { host, port, ttl },
            Record::Txt(text) => DnsRecord::Txt(text),
        });
        Ok(found.collect())
    }
}

/// A stream that knows when its bytes came.
///
/// The messages of one WebSocket are events of their own, and each event's tasks run before the
/// next event: when this stream is read, the message taken last is the one that carried its bytes.
struct Stamped {
    inner: TunnelStream,
    latest: Rc<Cell<Option<Instant>>>,
    /// The reader's and the tunnel's.
    clocks: (Clock, Clock),
    arrived: Option<Instant>,
}

impl ByteStream for Stamped {
    fn arrived_at(&self) -> Option<Instant> {
        self.arrived
    }

    fn held_up(&self) -> Duration {
        self.inner.dialled().unwrap_or_default()
    }
}

impl AsyncRead for Stamped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let (own, theirs) = self.clocks;
        self.arrived = self.latest.get().map(|arrived| own.of(theirs, arrived));
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Stamped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
