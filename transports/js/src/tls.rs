//! TLS above any stream, by the wasm module that does nothing else (`web/tls`).
//!
//! That module is loaded by a few lines of JavaScript ([`Host`]'s `tls`) and sees bytes only; here
//! is how they go through it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use js_sys::{Promise, Reflect};
use portolan::error::TlsProblem;
use portolan::options::TlsOptions;
use portolan::transport::{BoxStream, ByteStream, Encryption, EncryptionError, Instant, io_error};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::sockets::Host;

#[wasm_bindgen]
extern "C" {
    /// What the application says of TLS: `TlsSettings` in `web/js/tls.ts`.
    type Settings;
    #[wasm_bindgen(method, getter)]
    fn enabled(this: &Settings) -> Option<bool>;
    #[wasm_bindgen(method, getter)]
    fn ca(this: &Settings) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = certificateKey)]
    fn certificate_key(this: &Settings) -> Option<String>;
    #[wasm_bindgen(method, getter, js_name = allowInvalidCertificates)]
    fn allow_invalid_certificates(this: &Settings) -> Option<bool>;
    #[wasm_bindgen(method, getter, js_name = allowInvalidHostnames)]
    fn allow_invalid_hostnames(this: &Settings) -> Option<bool>;
    #[wasm_bindgen(method, catch)]
    fn load(this: &Settings) -> Result<Promise, JsValue>;

    type Module;
    #[wasm_bindgen(method, catch)]
    fn configure(
        this: &Module,
        ca: Option<&str>,
        certificate_key: Option<&str>,
        ca_file: Option<&str>,
        certificate_key_file: Option<&str>,
        allow_invalid_certificates: bool,
        allow_invalid_hostnames: bool,
    ) -> Result<Config, JsValue>;

    /// `TlsConfig` of `web/tls`.
    type Config;
    #[wasm_bindgen(method, catch)]
    fn session(this: &Config, host: &str) -> Result<JsSession, JsValue>;

    /// `TlsSession` of `web/tls`.
    type JsSession;
    #[wasm_bindgen(method, catch, js_name = putSealed)]
    fn put_sealed(this: &JsSession, bytes: &[u8]) -> Result<(), JsValue>;
    #[wasm_bindgen(method, js_name = takeSealed)]
    fn take_sealed(this: &JsSession) -> Vec<u8>;
    #[wasm_bindgen(method, js_name = putPlain)]
    fn put_plain(this: &JsSession, bytes: &[u8]) -> usize;
    #[wasm_bindgen(method, js_name = takePlain)]
    fn take_plain(this: &JsSession) -> Vec<u8>;
    #[wasm_bindgen(method, js_name = isHandshaking)]
    fn is_handshaking(this: &JsSession) -> bool;
    #[wasm_bindgen(method, js_name = hasEnded)]
    fn has_ended(this: &JsSession) -> bool;
    #[wasm_bindgen(method)]
    fn close(this: &JsSession);
    #[wasm_bindgen(method)]
    fn free(this: &JsSession);
}

/// How one client encrypts.
pub struct Tls(Config);

impl Tls {
    /// Adds to `options` what the application says in JavaScript, where it says anything.
    pub fn read(host: &Host, options: &mut TlsOptions) {
        let Some(settings) = settings(host) else { return };
        fn set<T>(option: &mut Option<T>, given: Option<T>) {
            if given.is_some() {
                *option = given;
            }
        }
        set(&mut options.enabled, settings.enabled());
        set(&mut options.ca, settings.ca());
        set(&mut options.certificate_key, settings.certificate_key());
        let certificates = settings.allow_invalid_certificates();
        set(&mut options.allow_invalid_certificates, certificates);
        set(&mut options.allow_invalid_hostnames, settings.allow_invalid_hostnames());
    }

    /// Loads the module and has it honour `options`.
    ///
    /// # Errors
    ///
    /// Why the module is not to be had, or what is wrong with the certificates, as it was thrown.
    pub async fn load(host: &Host, options: &TlsOptions) -> Result<Self, JsValue> {
        let settings = settings(host).ok_or("this host has no module of TLS")?;
        let module = JsFuture::from(settings.load()?).await?.unchecked_into::<Module>();
        let insecure = options.insecure == Some(true);
        let config = module.configure(
            options.ca.as_deref(),
            options.certificate_key.as_deref(),
            options.ca_file.as_deref(),
            options.certificate_key_file.as_deref(),
            insecure || options.allow_invalid_certificates == Some(true),
            options.allow_invalid_hostnames == Some(true),
        )?;
        Ok(Self(config))
    }
}

fn settings(host: &Host) -> Option<Settings> {
    let settings = Reflect::get(host, &"tls".into()).ok()?;
    settings.is_object().then(|| settings.unchecked_into())
}

/// A session, given back to its module when it is dropped.
struct Session(JsSession);

impl Drop for Session {
    fn drop(&mut self) {
        self.0.free();
    }
}

#[async_trait(?Send)]
impl Encryption for Tls {
    async fn encrypt(
        &self,
        host: &str,
        mut stream: BoxStream,
    ) -> Result<BoxStream, EncryptionError> {
        let session = self.0.session(host).map_err(|thrown| failure(&thrown))?;
        let session = Session(session);
        match shake_hands(&session.0, &mut stream).await {
            Ok(()) => Ok(Box::new(Sealed::new(session, stream))),
            Err(Broken::Tls(thrown)) => {
                // The server may want to know why; nobody waits for it to listen.
                let _ = stream.write(&session.0.take_sealed()).await;
                let _ = stream.flush().await;
                Err(failure(&thrown))
            }
            Err(Broken::Stream(error)) => Err(EncryptionError {
                problem: TlsProblem::BrokenOff,
                message: format!("the TLS handshake with {host} broke off: {error}"),
            }),
        }
    }
}

/// Why there was no handshake.
enum Broken {
    Stream(io::Error),
    Tls(JsValue),
}

async fn shake_hands(session: &JsSession, stream: &mut BoxStream) -> Result<(), Broken> {
    let mut buffer = vec![0; READ_AT_ONCE];
    loop {
        let sealed = session.take_sealed();
        stream.write_all(&sealed).await.map_err(Broken::Stream)?;
        stream.flush().await.map_err(Broken::Stream)?;
        if !session.is_handshaking() {
            return Ok(());
        }
        let count = stream.read(&mut buffer).await.map_err(Broken::Stream)?;
        if count == 0 {
            return Err(Broken::Stream(io::ErrorKind::UnexpectedEof.into()));
        }
        session.put_sealed(&buffer[..count]).map_err(Broken::Tls)?;
    }
}

/// What the module throws: an `Error` with `problem`.
fn failure(thrown: &JsValue) -> EncryptionError {
    let field = |name: &str| Reflect::get(thrown, &name.into()).ok();
    let place = field("problem").and_then(|place| place.as_f64()).map(|place| place as usize);
    let problem = place.and_then(|place| TlsProblem::ALL.get(place).copied());
    let message = field("message").and_then(|message| message.as_string());
    EncryptionError {
        problem: problem.unwrap_or(TlsProblem::Handshake),
        message: message.unwrap_or_else(|| "the module of TLS has failed".to_owned()),
    }
}

/// A little more than the largest record.
const READ_AT_ONCE: usize = 32 * 1024;

/// A stream behind its handshake.
struct Sealed {
    session: Session,
    stream: BoxStream,
    /// What was read, and how much of it was taken.
    plain: (Vec<u8>, usize),
    /// What is to be sent, and how much of it was.
    sealed: (Vec<u8>, usize),
    buffer: Vec<u8>,
    has_closed: bool,
}

impl Sealed {
    fn new(session: Session, stream: BoxStream) -> Self {
        let plain = (session.0.take_plain(), 0);
        let buffer = vec![0; READ_AT_ONCE];
        Self { session, stream, plain, sealed: (Vec::new(), 0), buffer, has_closed: false }
    }

    /// Sends what the session has to say.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let (sealed, sent) = &mut self.sealed;
            if *sent == sealed.len() {
                self.sealed = (self.session.0.take_sealed(), 0);
                if self.sealed.0.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &sealed[*sent..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => *sent += count,
            }
        }
    }
}

impl ByteStream for Sealed {
    fn arrived_at(&self) -> Option<Instant> {
        self.stream.arrived_at()
    }
}

impl AsyncRead for Sealed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            let (plain, taken) = &mut this.plain;
            let count = buffer.len().min(plain.len() - *taken);
            if count > 0 || buffer.is_empty() {
                buffer[..count].copy_from_slice(&plain[*taken..*taken + count]);
                *taken += count;
                return Poll::Ready(Ok(count));
            }
            if this.session.0.has_ended() {
                return Poll::Ready(Ok(0));
            }
            // A server that is killed says no farewell; whether a message was cut is the framer's
            // to find out.
            let count = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut this.buffer))?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            let put = this.session.0.put_sealed(&this.buffer[..count]);
            put.map_err(|thrown| io_error(io::ErrorKind::InvalidData, failure(&thrown).message))?;
            this.plain = (this.session.0.take_plain(), 0);
        }
    }
}

impl AsyncWrite for Sealed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        Poll::Ready(Ok(self.session.0.put_plain(buffer)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.has_closed {
            self.has_closed = true;
            self.session.0.close();
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}
