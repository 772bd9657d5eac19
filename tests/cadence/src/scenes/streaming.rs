//! A set that is streamed from: discovery, probes, a lost stream, a primary that steps down while a
//! member is away, an operation that waits for the next primary.

use portolan_sim::scripted::Script;

pub(super) fn script() -> Script {
    let mut script = Script::new("rs0", &["a", "b", "c"]);
    discover(&mut script);
    stream(&mut script);
    lose_a_stream(&mut script);
    step_down_while_a_member_is_away(&mut script);
    elect_while_an_operation_waits(&mut script);
    come_back(&mut script);
    script
}

/// One seed names three members; each is asked once, then streamed from and probed.
fn discover(script: &mut Script) {
    script.after(&["a1 connect"]).accept("a1");
    script.after(&["a1 hello"]).answer("a1");
    script.after(&["a1 await", "a2 connect", "b1 connect", "c1 connect"]).accept("a2");
    script.after(&["a2 hello"]).answer("a2").accept("b1");
    script.after(&["b1 hello"]).answer("b1");
    script.after(&["b1 await", "b2 connect"]).accept("b2");
    script.after(&["b2 hello"]).answer("b2").accept("c1");
    script.after(&["c1 hello"]).answer("c1");
    script.after(&["c1 await", "c2 connect"]).accept("c2");
    script.after(&["c2 hello"]).answer("c2");
}

/// All members are probed, in the order in which their probes are due.
const PROBED: &[&str] = &["a2 hello", "b2 hello", "c2 hello"];

/// Probes come once per heartbeat; streams go on whether something has changed or not.
fn stream(script: &mut Script) {
    script.after(PROBED).answer("a2").answer("b2").answer("c2");
    script
        .after(PROBED)
        .answer("a1")
        .answer("b1")
        .answer("c1")
        .answer("a2")
        .answer("b2")
        .answer("c2");
}

/// A server that answered until now is asked again at once.
fn lose_a_stream(script: &mut Script) {
    script.after(PROBED).hang_up("c1");
    script.after(&["c3 connect"]).accept("c3");
    script.after(&["c3 hello"]).answer("c3");
    script.after(&["c3 await"]).answer("a2").answer("b2").answer("c2");
}

/// The primary says so on its stream, the member's connections break. Probes stay unanswered from
/// here on, so that the one timer is that of the member's checks.
fn step_down_while_a_member_is_away(script: &mut Script) {
    script
        .after(PROBED)
        .follow("a", None)
        .answer("a1")
        .follow("b", None)
        .answer("b1")
        .hang_up("c3");
    script.after(&["c4 connect"]).refuse("c4");
    // A heartbeat later.
    script.after(&["c5 connect"]).start(1);
    script.after(&["operation 1 waits"]).refuse("c5");
    // Half a second later each, as long as the operation waits.
    script.after(&["c6 connect"]).refuse("c6");
    script.after(&["c7 connect"]).refuse("c7");
}

/// Another member says on its stream that it was elected: the operation goes there, on a connection
/// of its own.
fn elect_while_an_operation_waits(script: &mut Script) {
    script.after(&["c8 connect"]).elect("b", 2).answer("b1");
    script.after(&["b3 connect"]).accept("b3");
    script.after(&["b3 hello"]).answer("b3");
    script.after(&["b3 ping"]).answer("b3");
}

/// The member that was away is another process, and is streamed from and probed as before.
fn come_back(script: &mut Script) {
    script
        .after(&["operation 1 ran on b:27017"])
        .follow("a", Some("b"))
        .answer("a1")
        .restart("c")
        .follow("c", Some("b"))
        .accept("c8");
    script.after(&["c8 hello"]).answer("c8");
    script.after(&["c8 await"]).answer("a2").answer("b2").hang_up("c2");
    script.after(&["a2 hello", "b2 hello", "c9 connect"]).answer("a2").answer("b2").accept("c9");
    script.after(&["c9 hello"]).answer("c9");
    script.after(&["a2 hello", "b2 hello", "c9 hello"]);
}
