//! What becomes of a set as a whole, through the client.

use futures_util::{FutureExt, StreamExt};
use portolan::event::{Events, SetChange};

use super::support::{Bed, ms, secs};

/// What was told and not heard yet.
pub(super) fn heard(changes: &mut Events<SetChange>) -> Vec<String> {
    std::iter::from_fn(|| changes.next().now_or_never().flatten())
        .map(|change| change.to_string())
        .collect()
}

// IC-50, IC-51, IC-52, IC-53, IC-54
#[test]
fn a_listener_hears_of_the_set_and_a_late_one_of_its_latest_state() {
    let bed = Bed::set(1);
    let client = bed.client("");
    let mut early = client.set_changes();
    bed.advance(ms(600));
    let told = heard(&mut early);
    assert_eq!(told.first().map(String::as_str), Some("set rs0 found"), "{told:?}");
    assert_eq!(told.last().map(String::as_str), Some("confirmed rs0/a:1,b:1"), "{told:?}");
    let mut late = client.set_changes();
    assert_eq!(heard(&mut late), ["confirmed rs0/a:1,b:1"]);
    bed.kill("a:1");
    bed.advance(secs(1));
    assert_eq!(heard(&mut early), ["possibly rs0/a:1,b:1"]);
    bed.elect("b:1", 2);
    bed.advance(secs(1));
    assert_eq!(heard(&mut early), ["confirmed rs0/a:1,b:1"]);
    let newest = client.set_changes().next().now_or_never().flatten().expect("the latest");
    let state = newest.state().expect("a state").clone();
    assert_eq!(state.primary.as_ref().map(ToString::to_string).as_deref(), Some("b:1"));
    assert!(state.generation >= 3, "{state:?}");
    let ending = client.clone();
    bed.run(async move { ending.shutdown().await });
    assert_eq!(heard(&mut early), ["set rs0 dropped"]);
    assert_eq!(early.next().now_or_never(), Some(None), "the stream ends");
    let mut behind = client.set_changes();
    assert_eq!(heard(&mut behind), ["set rs0 dropped"]);
    assert_eq!(behind.next().now_or_never(), Some(None));
}
