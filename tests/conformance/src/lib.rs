//! Runs the drivers' JSON tests against the engine, natively and in a browser.
//!
//! [`run`] takes the text of one file and its path below `source/` of the specifications; it does
//! no I/O, so that a page can feed it the same files. [`SUITES`] is what is run, with the number of
//! files that must be there.

mod auth;
mod json;
mod monitoring;
mod sdam;
mod selection;
mod srv;
mod uri;

use bson::Document;

/// A folder of test files.
pub struct Suite {
    /// The folder, below `source/`.
    pub folder: &'static str,
    /// How many files it has in the version of the specifications that the project follows.
    pub files: usize,
    run: fn(&Document) -> Result<(), String>,
}

/// All suites.
pub static SUITES: &[Suite] = &[
    suite("connection-string/tests", 8, uri::connection_string),
    suite("uri-options/tests", 12, uri::connection_string),
    suite("read-write-concern/tests/connection-string", 2, uri::concern),
    suite("auth/tests/legacy", 1, auth::connection_string),
    suite("server-discovery-and-monitoring/tests/rs", 77, sdam::run),
    suite("server-discovery-and-monitoring/tests/errors", 72, sdam::run),
    suite("server-discovery-and-monitoring/tests/single", 19, sdam::run),
    suite("server-discovery-and-monitoring/tests/sharded", 9, sdam::run),
    suite("server-discovery-and-monitoring/tests/load-balanced", 1, sdam::run),
    suite("server-discovery-and-monitoring/tests/monitoring", 8, sdam::run),
    suite("server-selection/tests/server_selection", 88, selection::logic),
    suite("server-selection/tests/in_window", 8, selection::in_window),
    suite("server-selection/tests/rtt", 7, selection::rtt),
    suite("max-staleness/tests", 32, selection::logic),
    suite("initial-dns-seedlist-discovery/tests/load-balanced", 9, srv::load_balanced),
    suite("initial-dns-seedlist-discovery/tests/replica-set", 40, srv::replica_set),
    suite("initial-dns-seedlist-discovery/tests/sharded", 4, srv::sharded),
];

/// Files that need what a later issue builds: path and reason. They are shown as ignored.
pub static DEFERRED: &[(&str, &str)] = &[];

const fn suite(
    folder: &'static str,
    files: usize,
    run: fn(&Document) -> Result<(), String>,
) -> Suite {
    Suite { folder, files, run }
}

impl Suite {
    /// The suite that the file at `path` belongs to.
    pub fn of(path: &str) -> Option<&'static Self> {
        SUITES
            .iter()
            .find(|suite| path.strip_prefix(suite.folder).is_some_and(|rest| rest.starts_with('/')))
    }
}

/// Runs one file, whose path below `source/` is `path`.
///
/// # Errors
///
/// What differs, with the phase or case that it is in.
pub fn run(path: &str, json: &str) -> Result<(), String> {
    let suite = Suite::of(path).ok_or_else(|| format!("{path} belongs to no suite"))?;
    let document = json::document(json)?;
    (suite.run)(&document)
}

/// The same for a page.
#[cfg(target_arch = "wasm32")]
pub mod page {
    use wasm_bindgen::prelude::wasm_bindgen;

    /// Runs one file; nothing if it passes, else what differs.
    #[wasm_bindgen]
    pub fn run(path: &str, json: &str) -> Option<String> {
        super::run(path, json).err()
    }

    /// Derives the keys of SCRAM-SHA-256 as a login does, to be timed.
    #[wasm_bindgen]
    pub fn derive(password: &str, salt: &[u8], iterations: u32) {
        use portolan::engine::auth::{KeyRequest, ScramHash};
        let request = KeyRequest::new(ScramHash::Sha256, password, salt, iterations);
        let mut work = request.derive();
        while work.advance().is_none() {}
    }

    /// The suites as JSON: `[{"folder": "...", "files": 8}]`.
    #[wasm_bindgen]
    pub fn suites() -> String {
        let rows: Vec<_> = super::SUITES
            .iter()
            .map(|suite| serde_json::json!({"folder": suite.folder, "files": suite.files}))
            .collect();
        serde_json::Value::Array(rows).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_finds_its_suite() {
        let folder = |path| Suite::of(path).map(|suite| suite.folder);
        assert_eq!(folder("max-staleness/tests/Single/x.json"), Some("max-staleness/tests"));
        assert_eq!(folder("max-staleness/tests-of-others/x.json"), None);
        assert!(run("nowhere/x.json", "{}").is_err());
    }

    #[test]
    fn a_wrong_expectation_fails() {
        let path = "server-selection/tests/rtt/x.json";
        let file =
            |new: &str| format!(r#"{{"avg_rtt_ms": 10, "new_rtt_ms": 20, "new_avg_rtt": {new}}}"#);
        assert_eq!(run(path, &file("12")), Ok(()));
        assert!(run(path, &file("13")).is_err());
    }
}
