//! The orders as a user of a driver would write them: one source text for both drivers.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bson::{Document, doc};
use futures_util::StreamExt as _;

use super::{Failure, Ids, Meter};
use crate::orders::{
    Answer, COLLECTION, DATABASE, INSERTED, LoopKind, Order, RECORDS, Record, SLOW_MILLIS, Slow,
};
use crate::runtime::Runtime;

fn since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

macro_rules! driver {
    ($module:ident, $driver:ident, $connect:expr) => {
        pub mod $module {
            use std::time::Duration;

            use $driver::Client;

            use super::*;

            /// A client on a runtime.
            pub struct Session {
                runtime: Runtime,
                client: Option<Client>,
            }

            impl Session {
                pub fn new(runtime: Runtime) -> Self {
                    Self { runtime, client: None }
                }

                pub fn obey(&mut self, order: Order) -> Result<Answer, Failure> {
                    if let Order::Connect { uri } = order {
                        self.client = Some(self.runtime.block_on(connect(&self.runtime, &uri))?);
                        return Ok(Answer::default());
                    }
                    let client = self.client.clone().ok_or("not connected")?;
                    self.runtime.block_on(run(&self.runtime, client, order))
                }
            }

            async fn connect(runtime: &Runtime, uri: &str) -> Result<Client, Failure> {
                let connect: fn(&Runtime, String) -> _ = $connect;
                let client: Client = connect(runtime, uri.to_owned()).await?;
                client.database("admin").run_command(doc! { "ping": 1 }).await?;
                Ok(client)
            }

            async fn run(
                runtime: &Runtime,
                client: Client,
                order: Order,
            ) -> Result<Answer, Failure> {
                match order {
                    Order::Connect { .. } => Err("connected already".into()),
                    Order::FindOne { tasks, millis } => {
                        let time = Duration::from_millis(millis);
                        let meter = Meter::start();
                        let spawn = |task| runtime.spawn(find_one(client.clone(), task, time));
                        let running: Vec<_> = (0..tasks).map(spawn).collect();
                        let mut operations = 0;
                        for task in running {
                            operations += task.await?;
                        }
                        Ok(meter.stop(operations))
                    }
                    Order::ReadAll { times } => {
                        // On a task of the runtime, as an application's code is.
                        runtime.spawn(read_all(client, times)).await
                    }
                    Order::InsertMany { documents } => {
                        runtime.spawn(insert_many(client, documents)).await
                    }
                    Order::Hello { times } => {
                        runtime.spawn(command(client, doc! { "hello": true }, times)).await
                    }
                    Order::Ping { times } => {
                        let command = command(client, doc! { "ping": 1 }, times);
                        runtime.spawn(command).await
                    }
                    Order::FindById { collection, times } => {
                        runtime.spawn(find_by_id(client, collection, times)).await
                    }
                    Order::FindAll { collection } => {
                        runtime.spawn(find_all(client, collection)).await
                    }
                    Order::InsertFile { json, times, at_once } => {
                        let document = serde_json::from_str(&json)?;
                        runtime.spawn(insert_file(client, document, times, at_once)).await
                    }
                    Order::Loop { kind, millis, long_query } => {
                        let query = match long_query {
                            Some(uri) => {
                                let client = connect(runtime, &uri).await?;
                                Some(runtime.spawn(self::long_query(client)))
                            }
                            None => None,
                        };
                        let time = Duration::from_millis(millis);
                        let looping = runtime.spawn(operations(client, kind, time));
                        let mut answer = looping.await;
                        if let Some(query) = query {
                            match query.await {
                                Ok(millis) => answer.long_query_millis = Some(millis),
                                Err(error) => answer.errors.push(format!("long query: {error}")),
                            }
                        }
                        Ok(answer)
                    }
                }
            }

            async fn find_one(client: Client, task: usize, time: Duration) -> Result<u64, Failure> {
                let records = client.database(DATABASE).collection::<Record>(COLLECTION);
                let (mut ids, mut operations) = (Ids::new(task, RECORDS), 0);
                let began = Instant::now();
                while began.elapsed() < time {
                    let id = ids.next();
                    let found = records.find_one(doc! { "_id": id }).await?;
                    if found.is_none_or(|record| record.id != id) {
                        return Err(format!("document {id} was not found").into());
                    }
                    operations += 1;
                }
                Ok(operations)
            }

            async fn read_all(client: Client, times: u32) -> Result<Answer, Failure> {
                let records = client.database(DATABASE).collection::<Record>(COLLECTION);
                let meter = Meter::start();
                let mut read = 0;
                for _ in 0..times {
                    let mut cursor = records.find(doc! {}).await?;
                    while let Some(record) = cursor.next().await {
                        read += u64::from(record?.port > 0);
                    }
                }
                if read != u64::from(times) * u64::from(RECORDS.unsigned_abs()) {
                    return Err(format!("{read} records were read").into());
                }
                Ok(meter.stop(read))
            }

            async fn insert_many(client: Client, documents: i32) -> Result<Answer, Failure> {
                let records: Vec<Record> = (0..documents).map(Record::new).collect();
                let collection = client.database(DATABASE).collection::<Record>(INSERTED);
                let meter = Meter::start();
                let inserted = collection.insert_many(&records).await?.inserted_ids.len();
                Ok(meter.stop(inserted as u64))
            }

            async fn command(
                client: Client,
                command: Document,
                times: u32,
            ) -> Result<Answer, Failure> {
                let database = client.database("admin");
                let meter = Meter::start();
                for _ in 0..times {
                    database.run_command(command.clone()).await?;
                }
                Ok(meter.stop(u64::from(times)))
            }

            async fn find_by_id(
                client: Client,
                collection: String,
                times: i32,
            ) -> Result<Answer, Failure> {
                let collection = client.database(DATABASE).collection::<Document>(&collection);
                let meter = Meter::start();
                for id in 1..=times {
                    let found = collection.find_one(doc! { "_id": id }).await?;
                    found.ok_or("a document is missing")?;
                }
                Ok(meter.stop(u64::from(times.unsigned_abs())))
            }

            async fn find_all(client: Client, collection: String) -> Result<Answer, Failure> {
                let collection = client.database(DATABASE).collection::<Document>(&collection);
                let meter = Meter::start();
                let (mut cursor, mut read) = (collection.find(doc! {}).await?, 0);
                while let Some(document) = cursor.next().await {
                    read += u64::from(!document?.is_empty());
                }
                Ok(meter.stop(read))
            }

            async fn insert_file(
                client: Client,
                document: Document,
                times: u32,
                at_once: bool,
            ) -> Result<Answer, Failure> {
                let collection = client.database(DATABASE).collection::<Document>(INSERTED);
                let documents = vec![document; times as usize];
                let meter = Meter::start();
                if at_once {
                    collection.insert_many(&documents).await?;
                } else {
                    for document in &documents {
                        collection.insert_one(document).await?;
                    }
                }
                Ok(meter.stop(u64::from(times)))
            }

            /// Five seconds of work on the server: no driver may take that for a frozen one.
            async fn long_query(client: Client) -> Result<f64, Failure> {
                let collection = client.database(DATABASE).collection::<Document>(COLLECTION);
                let began = Instant::now();
                let filter = doc! { "_id": 0, "$where": "sleep(5000) || true" };
                collection.find_one(filter).await?.ok_or("the long query found nothing")?;
                Ok(began.elapsed().as_secs_f64() * 1e3)
            }

            async fn operations(client: Client, kind: LoopKind, time: Duration) -> Answer {
                // Each peer has a collection of its own, which counts its writes.
                let name = format!("{}-{}", stringify!($module), std::process::id());
                let database = client.database(DATABASE);
                let written = database.collection::<Document>(&name);
                let read = database.collection::<Document>(COLLECTION);
                let mut answer = Answer::default();
                let (began, mut n) = (Instant::now(), 0_i64);
                while began.elapsed() < time {
                    let one = Instant::now();
                    let outcome = match kind {
                        LoopKind::Write => {
                            let once = doc! { "$inc": { "times": 1 } };
                            let written = written.update_one(doc! { "_id": n }, once).upsert(true);
                            written.await.map(|_| ())
                        }
                        LoopKind::Read => read.find_one(doc! { "_id": 0 }).await.map(|_| ()),
                    };
                    let millis = one.elapsed().as_secs_f64() * 1e3;
                    if millis > SLOW_MILLIS {
                        answer.slow.push(Slow { ended: since_1970(), millis });
                    }
                    match outcome {
                        Ok(()) => answer.operations += 1,
                        Err(error) => answer.errors.push(error.to_string()),
                    }
                    n += 1;
                }
                answer
            }
        }
    };
}

type Connecting<C> =
    std::pin::Pin<Box<dyn std::future::Future<Output = Result<C, Failure>> + Send>>;

fn connect_portolan(runtime: &Runtime, uri: String) -> Connecting<portolan::Client> {
    match runtime {
        Runtime::Tokio(_) => Box::pin(async move { Ok(portolan_tokio::connect(&uri).await?) }),
        Runtime::AsyncStd => Box::pin(async move { Ok(portolan_async_std::connect(&uri).await?) }),
        Runtime::Smol => Box::pin(async move { Ok(portolan_smol::connect(&uri).await?) }),
    }
}

#[cfg(feature = "official")]
fn connect_official(_: &Runtime, uri: String) -> Connecting<mongodb::Client> {
    Box::pin(async move { Ok(mongodb::Client::with_uri_str(&uri).await?) })
}

driver!(with_portolan, portolan, connect_portolan);
#[cfg(feature = "official")]
driver!(with_official, mongodb, connect_official);
