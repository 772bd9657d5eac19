//! Where mongod is.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// The version that tests and the demo use unless told otherwise.
pub const DEFAULT_VERSION: &str = "6.0.5";

/// A mongod that can be started.
#[derive(Clone, Debug)]
pub struct MongodBinary {
    path: PathBuf,
    version: String,
    libraries: Option<PathBuf>,
}

impl MongodBinary {
    /// Finds mongod: `$PORTOLAN_MONGOD`, then the cache of `cargo xtask setup`, then `PATH`.
    ///
    /// With a version, only a mongod that says it is that version; without one, the first found
    /// (of the cache: [`DEFAULT_VERSION`]).
    ///
    /// # Errors
    ///
    /// [`Error::NoBinary`], which says how to install one.
    pub fn find(version: Option<&str>) -> Result<Self> {
        let wanted = version.unwrap_or(DEFAULT_VERSION);
        let given = env::var_os("PORTOLAN_MONGOD").map(PathBuf::from);
        let cached = cache_dir().join("mongod").join(wanted).join("mongod");
        let on_path = env::split_paths(&env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join("mongod"))
            .find(|path| path.is_file());
        for path in given.into_iter().chain([cached]).chain(on_path) {
            if let Ok(binary) = Self::at(&path)
                && version.is_none_or(|version| version == binary.version)
            {
                return Ok(binary);
            }
        }
        Err(Error::NoBinary(format!(
            "no mongod {wanted}: not in $PORTOLAN_MONGOD, the cache {}, or PATH; \
             `cargo xtask setup{}` installs it",
            cache_dir().display(),
            if wanted == DEFAULT_VERSION { "" } else { " --all" },
        )))
    }

    /// The mongod at `path`, asked for its version.
    ///
    /// # Errors
    ///
    /// [`Error::NoBinary`] when it does not run or does not say a version.
    pub fn at(path: &Path) -> Result<Self> {
        // Older servers need the OpenSSL 1.1 that setup keeps beside them.
        let libraries = path.parent().map(|folder| folder.join("lib")).filter(|lib| lib.is_dir());
        let mut binary = Self { path: path.to_owned(), version: String::new(), libraries };
        let output = binary
            .command()
            .arg("--version")
            .output()
            .map_err(|error| Error::NoBinary(format!("{}: {error}", path.display())))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("db version v"));
        match line {
            Some(version) => binary.version = version.trim().to_owned(),
            None => {
                return Err(Error::NoBinary(format!(
                    "{} does not say a version: {}",
                    path.display(),
                    String::from_utf8_lossy(&output.stderr).trim(),
                )));
            }
        }
        Ok(binary)
    }

    /// The program's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The version as the program says it, such as `6.0.5`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A command that runs this mongod.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }
}

/// The project's cache: `$XDG_CACHE_HOME/portolan`, else `~/.cache/portolan`.
pub fn cache_dir() -> PathBuf {
    let base = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache"),
        PathBuf::from,
    );
    base.join("portolan")
}
