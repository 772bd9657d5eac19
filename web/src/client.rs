//! The client as JavaScript holds it.

use std::sync::Arc;

use bson::RawDocumentBuf;
use futures_util::StreamExt as _;
use js_sys::{Function, JsString, Promise, Uint8Array};
use portolan::options::Credential;
use portolan::transport::Transport;
use portolan::{Client, ClientOptions, Collection, Topology};
use portolan_js::{Bridge, Host, Sockets, Tls};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::AbortSignal;

use crate::cursor::WasmCursor;
use crate::failure::{bad_options, from_portolan, invalid};
use crate::operation::operation;
use crate::request::{self, Find, Pipeline, document, insert_many, read_preference};
use crate::{json, reply};

/// Ends an operation early.
pub(crate) type Signal = Option<AbortSignal>;

/// A deployment, watched and usable until `close`.
#[wasm_bindgen]
pub struct WasmClient {
    pub(crate) client: Client,
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

    /// Pings a server; JSON text of address, type and duration.
    pub fn ping(&self, preference: Vec<u8>, signal: Signal) -> Promise {
        let client = self.client.clone();
        operation(signal, async move {
            let preference = read_preference(preference)?;
            let ping = client.ping(preference).await.map_err(|error| from_portolan(&error))?;
            Ok(reply::pong(&ping).into())
        })
    }

    /// Runs a command; the reply's bytes.
    #[wasm_bindgen(js_name = runCommand)]
    pub fn run_command(
        &self,
        db: &str,
        command: Vec<u8>,
        preference: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let database = self.client.database(db);
        operation(signal, async move {
            let command = document(command)?;
            let preference = read_preference(preference)?;
            let reply = database.run_command(command).read_preference(preference).raw().await;
            reply.map(|reply| js_bytes(&reply)).map_err(|error| from_portolan(&error))
        })
    }

    /// Opens a cursor: a [`WasmCursor`].
    pub fn find(&self, db: &str, collection: &str, request: Vec<u8>, signal: Signal) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let request = Find::read(request)?;
            let mut find = collection.find(request.filter);
            if let Some(sort) = request.sort {
                find = find.sort(sort);
            }
            if let Some(projection) = request.projection {
                find = find.projection(projection);
            }
            if let Some(limit) = request.limit {
                find = find.limit(limit);
            }
            if let Some(skip) = request.skip {
                find = find.skip(skip);
            }
            if let Some(size) = request.batch_size {
                find = find.batch_size(size);
            }
            if let Some(preference) = request.read_preference {
                find = find.read_preference(preference);
            }
            let cursor = find.await.map_err(|error| from_portolan(&error))?;
            Ok(WasmCursor::new(cursor).into())
        })
    }

    /// The first match's bytes, or `undefined`.
    #[wasm_bindgen(js_name = findOne)]
    pub fn find_one(
        &self,
        db: &str,
        collection: &str,
        request: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let request = Find::read(request)?;
            let mut find = collection.find_one(request.filter);
            if let Some(sort) = request.sort {
                find = find.sort(sort);
            }
            if let Some(projection) = request.projection {
                find = find.projection(projection);
            }
            if let Some(skip) = request.skip {
                find = find.skip(skip);
            }
            if let Some(preference) = request.read_preference {
                find = find.read_preference(preference);
            }
            let found = find.raw().await.map_err(|error| from_portolan(&error))?;
            Ok(found.map_or(JsValue::UNDEFINED, |found| js_bytes(&found)))
        })
    }

    /// Inserts one document; `{insertedId}`.
    #[wasm_bindgen(js_name = insertOne)]
    pub fn insert_one(
        &self,
        db: &str,
        collection: &str,
        bytes: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let document = document(bytes)?;
            let result = collection.insert_raw(vec![document]).await;
            reply::inserted_one(result.map_err(|error| from_portolan(&error))?)
        })
    }

    /// Inserts `documents`; `{insertedIds}` in their order.
    #[wasm_bindgen(js_name = insertMany)]
    pub fn insert_many(
        &self,
        db: &str,
        collection: &str,
        request: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let documents = insert_many(request)?;
            let result = collection.insert_raw(documents).await;
            reply::inserted_many(result.map_err(|error| from_portolan(&error))?)
        })
    }

    /// How many documents match.
    #[wasm_bindgen(js_name = countDocuments)]
    pub fn count_documents(
        &self,
        db: &str,
        collection: &str,
        request: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let request = Find::read(request)?;
            let mut count = collection.count_documents(request.filter);
            if let Some(limit) = request.limit {
                count = count.limit(limit.unsigned_abs());
            }
            if let Some(skip) = request.skip {
                count = count.skip(skip);
            }
            if let Some(preference) = request.read_preference {
                count = count.read_preference(preference);
            }
            let number = count.await.map_err(|error| from_portolan(&error))?;
            // A count beyond 2^53 is not to be met; JavaScript has no exact number for it.
            Ok(JsValue::from_f64(number as f64))
        })
    }

    /// How many documents the collection's metadata says that there are.
    #[wasm_bindgen(js_name = estimatedDocumentCount)]
    pub fn estimated_document_count(&self, db: &str, collection: &str, signal: Signal) -> Promise {
        let count = self.collection(db, collection).estimated_document_count();
        operation(signal, async move {
            let number = count.await.map_err(|error| from_portolan(&error))?;
            Ok(JsValue::from_f64(number as f64))
        })
    }

    /// The values of a field; `{values}`.
    pub fn distinct(
        &self,
        db: &str,
        collection: &str,
        field: String,
        request: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let collection = self.collection(db, collection);
        operation(signal, async move {
            let request = Find::read(request)?;
            let mut distinct = collection.distinct(field, request.filter);
            if let Some(preference) = request.read_preference {
                distinct = distinct.read_preference(preference);
            }
            reply::values(distinct.await.map_err(|error| from_portolan(&error))?)
        })
    }

    /// Runs a pipeline over the collection, else over the database: a [`WasmCursor`].
    pub fn aggregate(
        &self,
        db: &str,
        collection: Option<String>,
        request: Vec<u8>,
        signal: Signal,
    ) -> Promise {
        let database = self.client.database(db);
        operation(signal, async move {
            let request = Pipeline::read(request)?;
            let aggregate = match collection {
                Some(name) => database.collection::<()>(&name).aggregate(request.stages),
                None => database.aggregate(request.stages),
            };
            let mut aggregate = aggregate.with_type::<()>();
            if let Some(size) = request.batch_size {
                aggregate = aggregate.batch_size(size);
            }
            if let Some(allow) = request.allow_disk_use {
                aggregate = aggregate.allow_disk_use(allow);
            }
            if let Some(preference) = request.read_preference {
                aggregate = aggregate.read_preference(preference);
            }
            let cursor = aggregate.await.map_err(|error| from_portolan(&error))?;
            Ok(WasmCursor::new(cursor).into())
        })
    }

    /// Closes everything.
    pub fn close(&self) -> Promise {
        let client = self.client.clone();
        operation(None, async move {
            client.shutdown().await;
            Ok(JsValue::UNDEFINED)
        })
    }

    pub(crate) fn collection(&self, db: &str, name: &str) -> Collection<()> {
        self.client.database(db).collection(name)
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

pub(crate) fn js_bytes(document: &RawDocumentBuf) -> JsValue {
    Uint8Array::from(document.as_bytes()).into()
}
