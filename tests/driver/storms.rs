//! GAP-04: the storm of connections that a restart or a clear would be, foreseen from what is
//! counted.

use std::time::Duration;

use portolan::bson::doc;

use super::support::server::Act;
use super::support::{Bed, ms, pool, secs};

#[test]
fn a_storm_is_foreseen_from_what_connections_take_and_how_many_there_are() {
    let bed = Bed::set(0);
    let client = bed.settled("maxPoolSize=50&maxConnecting=2");
    let quiet = pool(&client, "a:1").storm(100);
    assert_eq!((quiet.connections, quiet.per_second, quiet.duration), (0, None, None));
    assert_eq!(quiet.monitors, 200, "a stream and a probe each");
    assert_eq!(quiet.most, Some(100 * 52));

    bed.with_server("a:1", |server| server.connect_delay = ms(98));
    bed.rule("a:1", "distinct", 10, Act::Slow(secs(1)));
    let database = client.database("shop");
    let joins: Vec<_> = (0..10)
        .map(|n| {
            let database = database.clone();
            bed.spawn(async move { database.run_command(doc! { "distinct": n }).await.map(drop) })
        })
        .collect();
    bed.advance(secs(3));
    assert!(joins.iter().all(|join| join.take().expect("done").is_ok()));
    let now = pool(&client, "a:1");
    assert_eq!((now.connections, now.rate.created, now.rate.average), (10, 10, Some(ms(100))));
    let storm = now.storm(100);
    assert_eq!((storm.connections, storm.per_second), (1_000, Some(2_000.0)));
    assert_eq!(storm.duration, Some(Duration::from_millis(500)));
}

/// What was foreseen is what comes: two at a time, each in the time that one takes.
#[test]
fn the_storm_that_comes_is_the_one_that_was_foreseen() {
    let bed = Bed::set(0);
    let client = bed.settled("minPoolSize=20&maxConnecting=2&heartbeatFrequencyMS=1000");
    bed.advance(secs(2));
    let foreseen = pool(&client, "a:1").storm(1);
    assert_eq!(foreseen.connections, 20);
    let created = pool(&client, "a:1").rate.created;
    bed.kill("a:1");
    bed.advance(secs(2));
    bed.with_server("a:1", |server| server.port = super::support::server::Port::Open);
    bed.advance(secs(2));
    let after = pool(&client, "a:1");
    assert_eq!((after.connections, after.rate.created - created), (20, 20));
    let most = foreseen.per_second.expect("some were made");
    assert!((after.rate.peak as f64) < most, "{} of {most} a second", after.rate.peak);
}
