//! Where things are: the workspace, the cache, the build folders.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders of one run.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// What `setup` installs: `($XDG_CACHE_HOME|~/.cache)/portolan`.
    pub(crate) cache: PathBuf,
    /// `$CARGO_TARGET_DIR`, else `target` in the workspace.
    pub(crate) target: PathBuf,
}

impl Paths {
    pub(crate) fn find() -> Self {
        // Cargo says at run time where this package is; a copied program falls back to the build's.
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&manifest)
            .ancestors()
            .nth(2)
            .expect("the package is two folders below the workspace")
            .to_owned();
        let cache = variable("XDG_CACHE_HOME")
            .unwrap_or_else(|| variable("HOME").unwrap_or_default().join(".cache"))
            .join("portolan");
        let target = variable("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        Self { target: root.join(target), root, cache }
    }

    /// The cargo that runs this program, in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(variable("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        command
    }

    /// Where a mongod of `version` is kept.
    pub(crate) fn mongod(&self, version: &str) -> PathBuf {
        self.cache.join("mongod").join(version).join("mongod")
    }

    /// The version of wasm-bindgen that the lock file asks for.
    pub(crate) fn wasm_bindgen_version(&self) -> Option<String> {
        let lock = std::fs::read_to_string(self.root.join("Cargo.lock")).ok()?;
        let (_, after) = lock.split_once("name = \"wasm-bindgen\"\nversion = \"")?;
        after.split_once('"').map(|(version, _)| version.to_owned())
    }

    /// Where the wasm-bindgen program of `version` is kept.
    pub(crate) fn wasm_bindgen(&self, version: &str) -> PathBuf {
        let folder = self.cache.join("tools").join(format!("wasm-bindgen-{version}"));
        folder.join("bin").join("wasm-bindgen")
    }

    /// Where Deno, Bun and workerd are kept.
    pub(crate) fn js_runtimes(&self) -> PathBuf {
        self.cache.join("js-runtimes")
    }

    /// Where the bridges of others are kept.
    pub(crate) fn bridges(&self) -> PathBuf {
        self.cache.join("peers")
    }

    /// The drivers' specifications: `$MONGODB_SPECIFICATIONS`, `../shared/specifications`, the
    /// cache.
    pub(crate) fn specifications(&self) -> Option<PathBuf> {
        variable("MONGODB_SPECIFICATIONS")
            .into_iter()
            .chain([self.root.join("../shared/specifications"), self.specifications_clone()])
            .find(|path| path.join("source").is_dir())
    }

    /// Where `setup --specifications` clones them.
    pub(crate) fn specifications_clone(&self) -> PathBuf {
        self.cache.join("specifications")
    }
}

/// A path from the environment; empty counts as absent.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The program `name` on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
