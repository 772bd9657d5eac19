//! The client as JavaScript holds it.

use std::sync::Arc;

use futures_util::StreamExt as _;
use js_sys::{Function, JsString, Promise};
use portolan::options::Credential;
use portolan::transport::Transport;
use portolan::{Client, ClientOptions, Topology};
use portolan_js::{Bridge, Host, Sockets, Tls};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::AbortSignal;

use crate::failure::{bad_options, from_portolan, invalid};
use crate::promise::promised;
use crate::run::{self, Target};
use crate::{json, request};

/// A deployment, watched and usable until `close`.
#[wasm_bindgen]
pub struct WasmClient {
    client: Client,
    warnings: Vec<String>,
}

#[wasm_bindgen]
impl WasmClient {
    /// Starts a client of `uri`: through the bridge at `bridge`, which is shown `token`, else with
    /// the sockets of `host`.
    ///
    /// `on_demand` is the mode without background work; `snapshot`, unless `undefined`, what an
    /// earlier client has learned; `on_event` gets every event, from the first on, as JSON text;
    /// `saslprep` promises what a password is after SASLprep, and is called where the core cannot
    /// know.
    ///
    /// # Errors
    ///
    /// The bridge's address, its token, the connection string or the snapshot is wrong; its host
    /// names no seeds in DNS; the module of TLS or its certificates cannot be used.
    pub async fn connect(
        uri: String,
        bridge: Option<String>,
        token: Option<String>,
        host: Host,
        on_demand: bool,
        snapshot: JsValue,
        on_event: Function,
        saslprep: Function,
    ) -> Result<WasmClient, JsValue> {
        let transport = transport(bridge.as_deref(), token.as_deref(), host.clone())?;
        let options = ClientOptions::parse(&uri).map_err(|error| from_portolan(&error.into()))?;
        let options = options.resolve(&*transport).await;
        let mut options = options.map_err(|error| from_portolan(&error))?;
        Tls::read(&host, &mut options.tls);
        if options.tls_enabled() {
            let tls =
                Tls::load(&host, &options.tls).await.map_err(|thrown| bad_options(&thrown))?;
            options.encryption = Some(tls.into());
        }
        if let Some(credential) = &mut options.credential {
            prepare(credential, &saslprep).await?;
        }
        if !snapshot.is_undefined() {
            options.snapshot = Some(request::snapshot(&snapshot)?);
        }
        let (warnings, knows) = (options.warnings.clone(), options.snapshot.is_some());
        let client = if on_demand {
            let client = Client::on_demand(options, transport);
            let client = client.map_err(|error| from_portolan(&error))?;
            spawn_local(tell(client.topology(), on_event));
            client
        } else {
            let made = Client::new(options, transport);
            let (client, driver) = made.map_err(|error| from_portolan(&error))?;
            spawn_local(tell(client.topology(), on_event));
            spawn_local(async move {
                // What a snapshot says is believed at once, and spares the look of that hello.
                if !knows {
                    caller_goes_on().await;
                }
                driver.await;
            });
            client
        };
        Ok(Self { client, warnings })
    }

    /// What was learned of the deployment, as JSON text.
    pub fn snapshot(&self) -> String {
        json::text(&self.client.description().snapshot())
    }

    /// The topology description as JSON text.
    pub fn topology(&self) -> String {
        json::text(&*self.client.description())
    }

    /// What the connection string says that this client does not know.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// Runs the operation of that name in the database `db`, over `collection` where it has one;
    /// see [`crate::run`] for what each wants and gives.
    ///
    /// One method for all: a method of its own would cost each operation a kilobyte of border.
    pub fn run(
        &self,
        operation: &str,
        db: &str,
        collection: Option<String>,
        request: Vec<u8>,
        signal: Option<AbortSignal>,
    ) -> Promise {
        let target = Target { client: self.client.clone(), db: db.to_owned(), collection };
        promised(signal, run::operation(operation, target, request))
    }

    /// Closes everything.
    pub fn close(&self) -> Promise {
        let client = self.client.clone();
        let closing = async move {
            client.shutdown().await;
            Ok(JsValue::UNDEFINED)
        };
        promised(None, Box::pin(closing))
    }
}

/// Lets whoever waits for the client go on first, through the promises between here and there: the
/// first hello, which a tunnel sends at once, then carries the login of an operation that follows.
async fn caller_goes_on() {
    const PROMISES: u32 = 32;
    for _ in 0..PROMISES {
        // Never rejected.
        let _ = JsFuture::from(Promise::resolve(&JsValue::UNDEFINED)).await;
    }
}

/// Has the host prepare a password that the core has no tables for.
async fn prepare(credential: &mut Credential, saslprep: &Function) -> Result<(), JsValue> {
    if let Some(password) = credential.password_to_prepare() {
        let promise = saslprep.call1(&JsValue::UNDEFINED, &password.into())?;
        let prepared = JsFuture::from(Promise::resolve(&promise)).await?;
        credential.prepared_password = prepared.as_string();
    }
    Ok(())
}

// The core wants `Arc` everywhere; this target has one thread.
#[allow(clippy::arc_with_non_send_sync)]
fn transport(
    bridge: Option<&str>,
    token: Option<&str>,
    host: Host,
) -> Result<Arc<dyn Transport>, JsValue> {
    let Some(url) = bridge else { return Ok(Arc::new(Sockets::new(host))) };
    let bridge = Bridge::new(url).map_err(invalid)?.on(host);
    Ok(Arc::new(match token {
        Some(token) => bridge.with_token(token).map_err(invalid)?,
        None => bridge,
    }))
}

/// Hands every event to JavaScript until the client is closed.
async fn tell(mut events: Topology, listener: Function) {
    while let Some(event) = events.next().await {
        let event = JsString::from(json::text(&event));
        // The listener is ours (`EventFeed.push`) and catches what users' listeners throw.
        let _ = listener.call1(&JsValue::UNDEFINED, &event);
    }
}
