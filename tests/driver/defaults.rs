//! The defaults of clients, databases and collections: the most specific one counts.

use portolan::bson::{Document, doc};
use portolan::options::{
    ClientOptions, CollectionOptions, DatabaseOptions, ReadConcern, ReadConcernLevel, WriteConcern,
};
use portolan::{Client, Collection, Database, ReadPreference};

use super::support::server::Request;
use super::support::{Bed, address, ms};

/// A client that reads from secondaries and has concerns of its own.
fn client(bed: &Bed) -> Client {
    let uri = bed.uri("readPreference=secondary&readConcernLevel=local&w=2");
    let client = bed.client_of(ClientOptions::parse(&uri).expect("good options"));
    bed.advance(ms(600));
    client
}

/// Where a query went, and its concern.
fn read(bed: &Bed, till: &Collection<Document>) -> (String, Option<String>) {
    bed.forget_log();
    let till = till.clone();
    bed.run(async move { till.find_one(doc! {}).await }).expect("an answer");
    seen(&bed.named("find"))
}

fn seen(requests: &[Request]) -> (String, Option<String>) {
    let [request] = requests else { panic!("one request: {requests:?}") };
    let concern = request.body.get_document("readConcern").ok();
    let level = concern.and_then(|concern| concern.get_str("level").ok()).map(str::to_owned);
    (request.address.to_string(), level)
}

/// The `w` of an insertion.
fn written(bed: &Bed, till: &Collection<Document>) -> Option<String> {
    bed.forget_log();
    let till = till.clone();
    bed.run(async move { till.insert_one(doc! { "n": 1 }).await }).expect("a write");
    let concern = bed.named("insert")[0].body.get_document("writeConcern").ok().cloned()?;
    concern.get("w").map(ToString::to_string)
}

fn of(address: &str, level: &str) -> (String, Option<String>) {
    (address.to_owned(), Some(level.to_owned()))
}

// SS-20
#[test]
fn the_most_specific_default_counts() {
    let bed = Bed::set(1);
    let client = client(&bed);
    let inherited = client.database("shop").collection("till");
    assert_eq!(read(&bed, &inherited), of("b:1", "local"));
    assert_eq!(written(&bed, &inherited).as_deref(), Some("2"));

    let options = DatabaseOptions::default()
        .read_preference(ReadPreference::primary())
        .read_concern(ReadConcernLevel::Majority)
        .write_concern(WriteConcern::majority());
    let database = client.database_with_options("shop", options);
    let of_database = database.collection("till");
    assert_eq!(read(&bed, &of_database), of("a:1", "majority"));
    assert_eq!(written(&bed, &of_database).as_deref(), Some("\"majority\""));

    let options = CollectionOptions::default()
        .read_preference(ReadPreference::secondary())
        .write_concern(WriteConcern::nodes(1));
    let of_collection = database.collection_with_options("till", options);
    assert_eq!(read(&bed, &of_collection), of("b:1", "majority"), "the database's concern");
    assert_eq!(written(&bed, &of_collection).as_deref(), Some("1"));
    let as_other = of_collection.clone_with_type::<Document>();
    assert_eq!(read(&bed, &as_other), of("b:1", "majority"));

    // An operation's own.
    bed.forget_log();
    let find = of_collection
        .find_one(doc! {})
        .read_preference(ReadPreference::primary())
        .read_concern(ReadConcernLevel::Available);
    bed.run(async move { find.await }).expect("an answer");
    assert_eq!(seen(&bed.named("find")), of("a:1", "available"));
    bed.forget_log();
    let insert = of_collection.insert_one(doc! { "n": 1 }).write_concern(WriteConcern::nodes(3));
    bed.run(async move { insert.await }).expect("a write");
    assert_eq!(
        bed.named("insert")[0].body.get_document("writeConcern").ok(),
        Some(&doc! { "w": 3 })
    );
    assert_eq!(read(&bed, &inherited), of("b:1", "local"), "others have what they had");
}

// SS-20: what counts can be asked.
#[test]
fn each_holder_says_what_counts() {
    let bed = Bed::set(1);
    let client = client(&bed);
    let options = DatabaseOptions::default().read_concern(ReadConcern::default());
    let database: Database = client.database_with_options("shop", options);
    assert_eq!(database.read_preference(), &ReadPreference::secondary());
    assert_eq!(database.read_concern(), &ReadConcern::default());
    assert_eq!(database.write_concern(), &WriteConcern::nodes(2));
    let options = CollectionOptions::default().read_preference(ReadPreference::nearest());
    let till = database.collection_with_options::<Document>("till", options);
    assert_eq!(till.read_preference(), &ReadPreference::nearest());
    assert_eq!(till.read_concern(), &ReadConcern::default());
    assert_eq!(till.write_concern(), &WriteConcern::nodes(2));
    assert_eq!(read(&bed, &till).1, None, "the server's own default: nothing is sent");
}

// SS-24: a command ignores the inherited preference, whoever holds it.
#[test]
fn a_command_goes_to_the_primary_whatever_the_database_prefers() {
    let bed = Bed::set(1);
    let client = client(&bed);
    let options = DatabaseOptions::default().read_preference(ReadPreference::secondary());
    let database = client.database_with_options("shop", options);
    bed.run(async move { database.run_command(doc! { "distinct": "x" }).await }).expect("ok");
    assert_eq!(bed.named("distinct")[0].address, address("a:1"));
}

// SS-19: a connection string has no hedge; options made by hand are warned of.
#[test]
fn a_hedged_default_is_warned_of() {
    let bed = Bed::set(0);
    let mut options = ClientOptions::parse(&bed.uri("readPreference=nearest")).expect("options");
    assert_eq!(bed.client_of(options.clone()).options().warnings, [""; 0]);
    options.read_preference.hedge = Some(true);
    let warnings = bed.client_of(options).options().warnings.clone();
    assert!(matches!(&warnings[..], [one] if one.contains("hedge is deprecated")), "{warnings:?}");
}
