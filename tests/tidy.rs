//! Style that a machine can hold: sizes, headers, words, dependencies.
//!
//! Each test lists every place that breaks its rule, as `file:line: what`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of a file.
const FILE: usize = 500;
/// Lines of a function.
const FUNCTION: usize = 70;
/// Characters of a line of Rust.
const LINE: usize = 100;
/// Lines of a native leaf: what is more belongs into the core.
const LEAF: usize = 150;
/// Crates below the core crate, itself included.
const CRATES: usize = 70;

#[test]
fn files_are_short() {
    let files = sources(&["rs", "ts", "tsx", "mjs", "css"]);
    check(files.iter().filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > FILE).then(|| format!("{}: {lines} lines, at most {FILE}", file.name))
    }));
}

#[test]
fn functions_are_short() {
    check(rust().iter().flat_map(|file| {
        functions(&blank(&file.text, Blank::CommentsAndStrings))
            .into_iter()
            .filter(|function| function.lines > FUNCTION)
            .map(|function| {
                format!(
                    "{}:{}: {} has {} lines, at most {FUNCTION}",
                    file.name, function.line, function.name, function.lines
                )
            })
            .collect::<Vec<_>>()
    }));
}

#[test]
fn lines_are_short() {
    check(rust().iter().flat_map(|file| {
        let long = |line: &str| line.chars().count() > LINE && !line.contains("://");
        numbered(&file.text)
            .filter(|(_, line)| long(line))
            .map(|(number, _)| format!("{}:{number}: over {LINE} characters", file.name))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn every_rust_file_says_what_it_is_for() {
    check(rust().iter().filter_map(|file| {
        let starts = file.text.starts_with("//! ");
        (!starts).then(|| format!("{}: does not start with //!", file.name))
    }));
}

#[test]
fn the_engine_is_pure() {
    let words = [
        "async",
        "await",
        "std::env",
        "std::fs",
        "std::io",
        "std::net",
        "std::process",
        "std::thread",
        "SystemTime",
        "std::time::Instant",
        "HashMap",
        "HashSet",
        "Mutex",
        "RwLock",
        "rand",
        "getrandom",
        "tokio",
        "async_std",
        "smol",
        "futures_io",
        "futures_util",
        "unsafe",
    ];
    check(rust().iter().filter(|file| in_engine(&file.name)).flat_map(|file| {
        let code = without_tests(&blank(&file.text, Blank::CommentsAndStrings));
        numbered(&code)
            .flat_map(|(number, line)| {
                words
                    .iter()
                    .filter(|word| has_word(line, word))
                    .map(|word| format!("{}:{number}: {word} in the engine", file.name))
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    }));
}

#[test]
fn nothing_is_left_for_later() {
    let words = ["todo", "unimplemented", "dbg", "FIXME", "TODO", "XXX"];
    check(rust().iter().flat_map(|file| {
        numbered(&blank(&file.text, Blank::Strings))
            .flat_map(|(number, line)| {
                words
                    .iter()
                    .filter(|word| has_word(line, word))
                    .filter(|word| !starts_lower(word) || line.contains(&format!("{word}!")))
                    .map(|word| format!("{}:{number}: {word}", file.name))
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    }));
}

#[test]
fn no_path_of_one_machine() {
    // Put together here, so that this file does not name them either.
    let places =
        [["/ro", "ot/"], ["/ho", "me/"], ["/wo", "rk/"], ["/var/t", "mp"], ["/Use", "rs/"]];
    let files = sources(&["rs", "ts", "tsx", "mjs", "md", "toml", "yml", "json", "html", "css"]);
    check(files.iter().flat_map(|file| {
        numbered(&file.text)
            .filter(|(_, line)| places.iter().any(|place| line.contains(&place.concat())))
            .map(|(number, line)| format!("{}:{number}: {}", file.name, line.trim()))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn a_relaxed_lint_carries_its_reason() {
    let code = rust();
    let mut found: Vec<String> = code
        .iter()
        .flat_map(|file| {
            let lines: Vec<&str> = file.text.lines().collect();
            let allows = numbered(&file.text).filter(|(_, line)| {
                let line = line.trim_start();
                line.starts_with("#[allow(") || line.starts_with("#![allow(")
            });
            allows
                .filter(|(number, line)| !line.contains("reason") && !is_comment(&lines, *number))
                .map(|(number, line)| format!("{}:{number}: {} has no reason", file.name, line))
                .collect::<Vec<_>>()
        })
        .collect();
    let manifest = read(&root().join("Cargo.toml"));
    let lines: Vec<&str> = manifest.lines().collect();
    for (number, line) in numbered(&manifest).filter(|(_, line)| line.ends_with("\"allow\"")) {
        // One comment may stand over several lints.
        let first = (1..=number).rev().take_while(|n| lines[n - 1].ends_with("\"allow\"")).last();
        if !is_comment(&lines, first.unwrap_or(number)) {
            found.push(format!("Cargo.toml:{number}: {line} has no reason"));
        }
    }
    check(found);
}

/// `cargo xtask test` names targets over the whole workspace; two of one name would run twice.
#[test]
fn the_core_s_test_targets_have_names_of_their_own() {
    let manifest = read(&root().join("Cargo.toml"));
    let core: Vec<&str> = manifest
        .split("[[test]]")
        .skip(1)
        .filter_map(|target| target.split_once("name = \"")?.1.split('"').next())
        .collect();
    assert!(core.contains(&"tidy"), "{core:?}");
    check(rust().into_iter().filter_map(|file| {
        let (package, test) = file.name.split_once("/tests/")?;
        let target = test.strip_suffix("/main.rs").or(test.strip_suffix(".rs"))?;
        let taken = !package.starts_with("src") && core.contains(&target);
        taken.then(|| format!("{}: the core has a test target of that name", file.name))
    }));
}

#[test]
fn leaves_stay_thin() {
    let leaves = ["async-std", "smol", "tokio"].map(|leaf| format!("transports/{leaf}/src/"));
    check(leaves.iter().filter_map(|leaf| {
        let files = rust();
        let texts = files.iter().filter(|file| file.name.starts_with(leaf.as_str()));
        let lines: usize = texts.map(|file| without_tests(&file.text).lines().count()).sum();
        (lines >= LEAF).then(|| format!("{leaf}: {lines} lines, less than {LEAF}"))
    }));
}

#[test]
fn the_core_pulls_in_few_crates() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", "portolan", "--prefix", "none", "--edges", "normal"])
        .current_dir(root())
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).replace(" (*)", "");
    let mut crates: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    crates.sort_unstable();
    crates.dedup();
    assert!(crates.len() < CRATES, "{} crates:\n{}", crates.len(), crates.join("\n"));
}

#[test]
fn the_readme_names_the_two_commands() {
    let readme = read(&root().join("README.md"));
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(readme.contains(command), "README.md does not mention `{command}`");
    }
}

#[test]
fn the_scanner_sees_code_as_the_compiler_does() {
    let text =
        "fn a<'x>() { /* { /* } */ */ let _ = (\"}\", '}', r#\"}\"\"#, b'\\''); }\n// fn b\n";
    let code = blank(text, Blank::CommentsAndStrings);
    assert_eq!(code.matches('}').count(), 1, "{code}");
    assert_eq!(code.lines().count(), 2);
    let found =
        functions("fn one() -> [u8; 3];\nfn two()\nwhere\n    T: X,\n{\n    {}\n}\nlet fnord;");
    let sizes: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
    assert_eq!(sizes, [("two", 2, 6)]);
    assert!(has_word("std::net::TcpStream", "std::net") && !has_word("awaited", "await"));
    assert_eq!(without_tests("a\n#[cfg(test)]\nmod tests {\n b\n}\n"), "a\n");
}

/// A text file of the project.
struct Source {
    name: String,
    text: String,
}

fn rust() -> Vec<Source> {
    sources(&["rs"])
}

/// The project's own files with one of these extensions, in the order of their names.
fn sources(extensions: &[&str]) -> Vec<Source> {
    let mut paths = Vec::new();
    walk(&root(), &mut paths);
    paths.sort();
    let has = |path: &PathBuf| {
        path.extension().and_then(|e| e.to_str()).is_some_and(|e| extensions.contains(&e))
    };
    let files: Vec<Source> = paths
        .iter()
        .filter(|path| has(path))
        .map(|path| Source {
            name: path.strip_prefix(root()).unwrap_or(path).to_string_lossy().replace('\\', "/"),
            text: read(path),
        })
        .collect();
    assert!(!files.is_empty(), "no file with {extensions:?}");
    files
}

/// Every file but those that builds and package managers make.
fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    const MADE: [&str; 7] =
        [".git", "target", "node_modules", "pkg", "dist", "output", "package-lock.json"];
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let path = entry.path();
        if MADE.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        match entry.file_type().expect("a kind of file") {
            kind if kind.is_dir() => walk(&path, paths),
            kind if kind.is_file() => paths.push(path),
            _ => {}
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn check(found: impl IntoIterator<Item = String>) {
    let found: Vec<String> = found.into_iter().collect();
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines())
}

fn is_comment(lines: &[&str], number: usize) -> bool {
    number > 1 && lines[number - 2].trim_start().starts_with(['/', '#'])
}

fn starts_lower(word: &str) -> bool {
    word.starts_with(|first: char| first.is_ascii_lowercase())
}

fn in_engine(name: &str) -> bool {
    let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
    name.starts_with("src/engine/") && !is_test
}

/// `text` up to its test module, which the guide puts last.
fn without_tests(text: &str) -> String {
    match text.find("#[cfg(test)]\nmod tests {") {
        Some(end) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(of_word) && !after.is_some_and(of_word)
    })
}

/// What [`blank`] takes out.
#[derive(Clone, Copy, PartialEq)]
enum Blank {
    Strings,
    CommentsAndStrings,
}

/// Rust code with the content of strings, characters and perhaps comments as spaces, on the same
/// lines.
fn blank(text: &str, what: Blank) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, keep) = match token(rest) {
            Token::Comment(length) => (length, what == Blank::Strings),
            Token::Text(length) => (length, false),
            Token::Code => (first.len_utf8(), true),
        };
        let (taken, left) = rest.split_at(length);
        if keep {
            code.push_str(taken);
        } else {
            code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = left;
    }
    code
}

/// What stands at the beginning of a text, and how many bytes it takes.
enum Token {
    Comment(usize),
    Text(usize),
    Code,
}

fn token(rest: &str) -> Token {
    if rest.starts_with("//") {
        return Token::Comment(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Token::Comment(block_comment(rest));
    }
    if let Some(after) = rest.strip_prefix('r') {
        let hashes = after.len() - after.trim_start_matches('#').len();
        if after[hashes..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            let end = rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len());
            return Token::Text(end);
        }
    }
    if rest.starts_with('"') {
        return Token::Text(quoted(rest, '"'));
    }
    // A quotation mark begins a character when one closes it; else it begins a lifetime.
    let mut characters = rest.chars();
    if characters.next() == Some('\'') {
        let escaped = characters.next() == Some('\\');
        if escaped || characters.next() == Some('\'') {
            return Token::Text(quoted(rest, '\''));
        }
    }
    Token::Code
}

/// The length of the literal that `rest` begins with.
fn quoted(rest: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == mark => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of the comment that `rest` begins with; such comments nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// A function with a body.
struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The functions of blanked code, nested ones too.
fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if let (false, Some(length)) = (name.is_empty(), body_end(rest)) {
            let line = code[..at].matches('\n').count() + 1;
            let lines = rest[..length].matches('\n').count() + 1;
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// Where the body of the function ends whose signature `rest` begins with; `None` without a body.
fn body_end(rest: &str) -> Option<usize> {
    let mut round = 0;
    let mut curly = 0;
    for (at, c) in rest.char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round -= 1,
            ';' if round == 0 && curly == 0 => return None,
            '{' => curly += 1,
            '}' => {
                curly -= 1;
                if curly == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}
