//! A set that is polled: discovery, a connection that breaks between two checks and one that breaks
//! during a check, a member that is away, a primary that steps down, an operation that waits.

use portolan_sim::scripted::{Script, Step};

pub(super) fn script() -> Script {
    let mut script = Script::new("rs0", &["a", "b", "c"]);
    discover(&mut script);
    break_connections(&mut script);
    lose_a_member(&mut script);
    step_down_and_wait(&mut script);
    script
}

/// One seed names three members; each is asked, and asked again a heartbeat after its answer.
fn discover(script: &mut Script) {
    script.after(&["a1 connect"]).accept("a1");
    script.after(&["a1 hello"]).answer("a1");
    script.after(&["b1 connect", "c1 connect"]).accept("b1");
    script.after(&["b1 hello"]).answer("b1").accept("c1");
    script.after(&["c1 hello"]).answer("c1");
    script.after(&["a1 hello", "b1 hello", "c1 hello"]).answer("a1").answer("b1").answer("c1");
}

/// A connection that breaks while nobody waits for it is no failure; one that breaks during a check
/// has the server asked again at once.
fn break_connections(script: &mut Script) {
    let round = script.after(&["a1 hello", "b1 hello", "c1 hello"]);
    round.answer("a1").answer("b1").answer("c1").hang_up("c1");
    script.after(&["a1 hello", "b1 hello", "c2 connect"]).accept("c2");
    script.after(&["c2 hello"]).hang_up("c2");
    script.after(&["c3 connect"]).accept("c3");
    script.after(&["c3 hello"]).answer("a1").answer("b1").answer("c3");
}

/// A member that refuses is asked once more at once, then a heartbeat later, until it is back. The
/// others' checks stay unanswered meanwhile, so that there is one timer.
fn lose_a_member(script: &mut Script) {
    script.after(&["a1 hello", "b1 hello", "c3 hello"]).hang_up("c3");
    script.after(&["c4 connect"]).refuse("c4");
    script.after(&["c5 connect"]).refuse("c5");
    script.after(&["c6 connect"]).restart("c").accept("c6");
    script.after(&["c6 hello"]).answer("a1").answer("b1").answer("c6");
}

/// All members are asked, in the order in which their checks are due.
const ROUND: &[&str] = &["a1 hello", "b1 hello", "c6 hello"];

fn answer(step: &mut Step) {
    step.answer("a1").answer("b1").answer("c6");
}

/// While an operation waits for a primary, every member is asked half a second after its answer.
/// It waits to the end: there is no other primary.
fn step_down_and_wait(script: &mut Script) {
    let round = script.after(ROUND);
    round.follow("a", None).follow("b", None).follow("c", None);
    answer(round);
    script.after(ROUND).start(1);
    answer(script.after(&["operation 1 waits"]));
    answer(script.after(ROUND));
    answer(script.after(ROUND));
    script.after(ROUND);
}
