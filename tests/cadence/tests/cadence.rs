//! The same sequence of engine actions on every native runtime, with its real timers.
//!
//! The same scenes in JavaScript runtimes: `web/tests/cadence.mjs`, which compares with what is
//! played here.

use std::thread;

use portolan_cadence::native::RUNTIMES;
use portolan_cadence::{SCENES, Scene};

/// The lines of a scene, which are the same on every runtime.
fn played(name: &str) -> Vec<String> {
    let scene = Scene::named(name).expect("a scene");
    let all: Vec<Vec<String>> = thread::scope(|scope| {
        let played: Vec<_> = RUNTIMES
            .iter()
            .map(|runtime| (runtime, scope.spawn(|| (runtime.play)(scene))))
            .collect();
        let lines = |(runtime, lines): (
            &portolan_cadence::native::Runtime,
            thread::ScopedJoinHandle<'_, _>,
        )| {
            let lines: Result<Vec<String>, String> = lines.join().expect("no panic");
            lines.unwrap_or_else(|problem| panic!("{} on {}: {problem}", name, runtime.name))
        };
        played.into_iter().map(lines).collect()
    });
    for (runtime, lines) in RUNTIMES.iter().zip(&all) {
        let differs = lines.iter().zip(&all[0]).position(|(one, other)| one != other);
        let at = differs.unwrap_or(lines.len().min(all[0].len()));
        let about =
            |lines: &[String]| lines[at.saturating_sub(5)..lines.len().min(at + 3)].join("\n");
        assert!(
            *lines == all[0],
            "{name}: line {at} differs\non {}:\n{}\non {}:\n{}",
            RUNTIMES[0].name,
            about(&all[0]),
            runtime.name,
            about(lines),
        );
    }
    let lines = all.into_iter().next().expect("a runtime");
    // A server that understands hello says so once, and is not asked in the old form again.
    let legacy: Vec<&String> = lines.iter().filter(|line| line.contains("isMaster: 1")).collect();
    assert!(legacy.iter().all(|line| line.contains(", client")), "{legacy:#?}");
    lines
}

fn count(lines: &[String], start: &str) -> usize {
    lines.iter().filter(|line| line.trim_start().starts_with(start)).count()
}

#[test]
fn a_streamed_set_is_the_same_on_every_runtime() {
    let lines = played("streaming");
    // A refused check: once in the old cadence, then twice while an operation waits.
    assert_eq!(count(&lines, "next in 500ms"), 3, "{}", lines.join("\n"));
    assert_eq!(count(&lines, "tell failoverCompleted a:27017 -> b:27017"), 1);
    assert_eq!(count(&lines, "< demand"), 2);
}

#[test]
fn a_polled_set_is_the_same_on_every_runtime() {
    let lines = played("polling");
    assert_eq!(count(&lines, "next in 500ms"), 3, "{}", lines.join("\n"));
    assert!(!lines.iter().any(|line| line.contains("maxAwaitTimeMS") || line.contains(" rtt ")));
}

#[test]
fn every_scene_is_played() {
    let names: Vec<&str> = SCENES.iter().map(|scene| scene.name).collect();
    assert_eq!(names, ["streaming", "polling"]);
}
