//! The ledger of the acceptance rows, `tests/features.toml`, against the tests and the rows.
//!
//! Each row is held by tests that exist, or says why it deliberately is not, or which part of the
//! project owns it. The rows themselves are not part of this repository: they are read from
//! `$PORTOLAN_FEATURES`, else from `../shared/FEATURES.md`, where that file is there. Where it is
//! not, the counts of the ledger's `[families]` say which rows there must be.

#![allow(clippy::print_stdout, reason = "the counts are for whoever runs it with --nocapture")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A row's family and number: `SD-67`.
type Row = (String, u32);

/// What the ledger says of a row.
#[derive(Clone, Debug, PartialEq)]
enum Entry {
    /// Tests that fail when the row does not hold.
    Test(Vec<String>),
    /// Why the project deliberately does otherwise.
    Reason(String),
    /// The part of the project that owns the row.
    Later(String),
}

struct Ledger {
    /// How many rows each family has.
    families: BTreeMap<String, u32>,
    /// Each entry with the number of its line.
    entries: Vec<(usize, Row, Entry)>,
}

#[test]
fn every_row_has_exactly_one_entry() {
    let ledger = ledger();
    let mut problems = Vec::new();
    let mut known: BTreeSet<Row> = BTreeSet::new();
    for (family, rows) in &ledger.families {
        known.extend((1..=*rows).map(|number| (family.clone(), number)));
    }
    if let Some(rows) = published() {
        for row in rows.symmetric_difference(&known) {
            problems.push(format!("{}: [families] and the rows differ", name(row)));
        }
    } else {
        println!("the rows are not here: checked against [families] alone");
    }
    let mut seen: BTreeMap<Row, usize> = BTreeMap::new();
    for (line, row, _) in &ledger.entries {
        if !known.contains(row) {
            problems.push(format!("line {line}: {} is no row", name(row)));
        }
        if let Some(first) = seen.insert(row.clone(), *line) {
            problems.push(format!("line {line}: {} has an entry in line {first}", name(row)));
        }
    }
    let missing = known.iter().filter(|row| !seen.contains_key(row));
    problems.extend(missing.map(|row| format!("{} has no entry", name(row))));
    report(&problems);
}

#[test]
fn every_named_test_exists() {
    let mut problems = Vec::new();
    for (line, row, entry) in ledger().entries {
        let Entry::Test(tests) = entry else { continue };
        for test in tests {
            if let Err(problem) = find(&test) {
                problems.push(format!("line {line}: {}: {test}: {problem}", name(&row)));
            }
        }
    }
    report(&problems);
}

#[test]
fn the_counts_add_up() {
    let ledger = ledger();
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for (_, (family, _), entry) in &ledger.entries {
        let column = match entry {
            Entry::Test(_) => 0,
            Entry::Reason(_) => 1,
            Entry::Later(_) => 2,
        };
        counts.entry(family).or_default()[column] += 1;
    }
    println!("family  held  otherwise  later");
    let mut sum = [0; 3];
    for (family, count) in &counts {
        println!("{family:<6} {:>5} {:>10} {:>6}", count[0], count[1], count[2]);
        (0..3).for_each(|column| sum[column] += count[column]);
    }
    println!("{:<6} {:>5} {:>10} {:>6}", "all", sum[0], sum[1], sum[2]);
    let rows: u32 = ledger.families.values().sum();
    assert_eq!(sum.iter().sum::<usize>(), rows as usize);
}

#[test]
fn a_wrong_ledger_is_seen() {
    let entries = |line: &str| parse(line).map(|ledger| ledger.entries);
    let [one, two] = &entries("\"SD-01..SD-02\" = { test = [\"a::b\", \"c::d\"] }").unwrap()[..]
    else {
        panic!("a range has each of its rows");
    };
    assert_eq!((one.1.1, two.1.1), (1, 2));
    assert_eq!(two.2, Entry::Test(vec!["a::b".to_owned(), "c::d".to_owned()]));
    for wrong in [
        "\"SD-02..SD-01\" = { test = \"a::b\" }",
        "\"SD-01..SM-02\" = { test = \"a::b\" }",
        "\"SD-01\" = { test = \"\" }",
        "\"SD-01\" = { later = \"some day\" }",
        "\"SD-01\" = { reason = \"short\" }",
        "\"SD-01\" = { done = \"yes\" }",
        "SD-01 = 1",
    ] {
        assert!(entries(wrong).is_err(), "{wrong}");
    }
    let here = "tests/features.rs::a_wrong_ledger_is_seen";
    assert_eq!(find(here), Ok(()));
    assert_eq!(find("tests/driver/main.rs"), Err("it is not path::name".to_owned()));
    assert!(find("tests/features.rs::a_wrong").is_err(), "a part of a name");
    assert!(find("tests/features.rs::published").is_err(), "no test");
    assert!(find("tests/nothing.rs::a").is_err());
    assert!(find("tests/spec.rs::crud/tests").is_err(), "no suite of that program");
    assert_eq!(find("tests/spec.rs::max-staleness/tests"), Ok(()));
    assert_eq!(find("tests/unified/main.rs::prose::pools_follow_heartbeats"), Ok(()));
    assert!(find("tests/unified/main.rs::prose::client").is_err(), "not in the list");
}

fn ledger() -> Ledger {
    let text = read(&root().join("tests/features.toml")).expect("the ledger");
    parse(&text).unwrap_or_else(|problem| panic!("tests/features.toml: {problem}"))
}

/// The ledger's part of TOML: tables of one line each.
fn parse(text: &str) -> Result<Ledger, String> {
    let mut ledger = Ledger { families: BTreeMap::new(), entries: Vec::new() };
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with(['#', '[']) {
            continue;
        }
        let (key, value) = line.split_once(" = ").ok_or(format!("line {number}: no key"))?;
        match value.parse() {
            Ok(rows) if key.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                ledger.families.insert(key.to_owned(), rows);
            }
            _ => {
                let at = |problem: &str| format!("line {number}: {problem}");
                let rows = rows(key).ok_or_else(|| at("no row or range of rows"))?;
                let entry = entry(value).ok_or_else(|| at("no test, reason or later"))?;
                ledger.entries.extend(rows.into_iter().map(|row| (number, row, entry.clone())));
            }
        }
    }
    Ok(ledger)
}

/// `"SD-67"` or `"SD-67..SD-72"`.
fn rows(key: &str) -> Option<Vec<Row>> {
    let key = key.strip_prefix('"')?.strip_suffix('"')?;
    let (first, last) = key.split_once("..").unwrap_or((key, key));
    let ((family, first), (other, last)) = (row(first)?, row(last)?);
    if family != other || first > last {
        return None;
    }
    Some((first..=last).map(|number| (family.clone(), number)).collect())
}

fn row(text: &str) -> Option<Row> {
    let (family, number) = text.split_once('-')?;
    let is_family = !family.is_empty() && family.bytes().all(|byte| byte.is_ascii_uppercase());
    let is_number = number.len() >= 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    if is_family && is_number { Some((family.to_owned(), number.parse().ok()?)) } else { None }
}

fn name((family, number): &Row) -> String {
    format!("{family}-{number:02}")
}

/// `{ test = "..." }`, `{ test = ["...", "..."] }`, `{ reason = "..." }` or `{ later = "..." }`.
fn entry(value: &str) -> Option<Entry> {
    let (kind, value) = value.strip_prefix("{ ")?.strip_suffix(" }")?.split_once(" = ")?;
    let list = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let texts: Option<Vec<String>> =
        list.map_or(vec![value], |list| list.split("\", ").collect()).iter().map(quoted).collect();
    let texts = texts?;
    match (kind, &texts[..]) {
        ("test", _) => Some(Entry::Test(texts)),
        ("reason", [text]) if text.split(' ').count() > 3 => Some(Entry::Reason(text.clone())),
        ("later", [text]) if text.starts_with(['2', '3', '4']) && text[1..].starts_with("/4") => {
            Some(Entry::Later(text.clone()))
        }
        _ => None,
    }
}

/// The content of a quoted text; the closing mark may have been taken by the comma of a list.
fn quoted(text: &&str) -> Option<String> {
    let text = text.trim().strip_prefix('"')?;
    let text = text.strip_suffix('"').unwrap_or(text);
    (!text.is_empty() && !text.contains('"')).then(|| text.to_owned())
}

/// The rows that the acceptance file has, if it is there.
fn published() -> Option<BTreeSet<Row>> {
    let path = match std::env::var_os("PORTOLAN_FEATURES") {
        Some(path) => PathBuf::from(path),
        None => root().join("../shared/FEATURES.md"),
    };
    let text = fs::read_to_string(path).ok()?;
    let first = |line: &str| row(line.strip_prefix("| ")?.split_once(" |")?.0);
    Some(text.lines().filter_map(first).collect())
}

/// Whether there is the test `path::name`.
fn find(test: &str) -> Result<(), String> {
    let (path, name) = test.split_once("::").ok_or("it is not path::name")?;
    match path {
        "tests/spec.rs" => suite("tests/conformance/src/lib.rs", name),
        "tests/unified/main.rs" => match name.strip_prefix("prose::") {
            Some(name) => listed("tests/unified/prose.rs", name),
            None => suite("tests/unified/suites.rs", name),
        },
        _ if path.ends_with(".rs") => function(path, name),
        _ => {
            let text = read(&root().join(path))?;
            let titled = ["test('", "test(`"].iter().any(|test| {
                text.contains(&format!("{test}{name}'")) || text.contains(&format!("{test}{name}`"))
            });
            if titled { Ok(()) } else { Err("no test of that title".to_owned()) }
        }
    }
}

/// A function with an attribute of a test, or one of the clauses that every transport is held to.
fn function(path: &str, name: &str) -> Result<(), String> {
    let text = read(&root().join(path))?;
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &&str| {
        let signature = line.split_once("fn ").map(|(_, signature)| signature);
        signature.and_then(|s| s.strip_prefix(name)).is_some_and(|rest| rest.starts_with('('))
    };
    let at = lines.iter().position(is_it).ok_or("no function of that name")?;
    let before = lines[..at].iter().rev();
    let is_test = before
        .take_while(|line| line.starts_with("#[") || line.starts_with("//"))
        .any(|line| line.starts_with("#[") && line.contains("test"));
    if is_test || path.starts_with("tests/contract/src/") {
        return Ok(());
    }
    Err("the function is no test".to_owned())
}

/// A function in the list of a file's tests: `("name", name)`.
fn listed(path: &str, name: &str) -> Result<(), String> {
    let text = read(&root().join(path))?;
    let is_listed = text.contains(&format!("(\"{name}\", "));
    if is_listed { Ok(()) } else { Err("no test of the list".to_owned()) }
}

/// A folder or a file of the specifications that is run; where they are there, the file must be,
/// and a test of that description in it.
fn suite(list: &str, name: &str) -> Result<(), String> {
    let (path, description) = match name.split_once("::") {
        Some((path, description)) => (path, Some(description)),
        None => (name, None),
    };
    let text = read(&root().join(list))?;
    let mut folders = text.split('"').skip(1).step_by(2).filter(|text| text.contains('/'));
    if !folders.any(|folder| path == folder || path.starts_with(&format!("{folder}/"))) {
        return Err("no suite of that program".to_owned());
    }
    let Some(source) = specifications() else { return Ok(()) };
    let path = source.join(path);
    let Some(description) = description else {
        return if path.exists() { Ok(()) } else { Err("no such file".to_owned()) };
    };
    if read(&path)?.contains(&format!("\"description\": \"{description}\"")) {
        return Ok(());
    }
    Err("no test of that description".to_owned())
}

fn specifications() -> Option<PathBuf> {
    let root = match std::env::var_os("MONGODB_SPECIFICATIONS") {
        Some(folder) => PathBuf::from(folder),
        None => root().join("../shared/specifications"),
    };
    let candidates = [root.join("source"), root];
    candidates.into_iter().find(|folder| folder.join("max-staleness/tests").is_dir())
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
