//! The wasm toolchain, wasm-bindgen, the browser and the specifications.

use std::path::PathBuf;
use std::process::Command;

use super::{Outcome, announce, apt};
use crate::paths::{Paths, on_path};
use crate::run;
use crate::wasm::{self, CLANG_PACKAGES, DEBIAN_PACKAGES, Toolchain};

/// The target of the toolchain in use, by rustup or else by Debian's packages.
pub(crate) fn wasm_toolchain() -> Outcome {
    if let Some(toolchain) = Toolchain::find() {
        return Outcome::Have(format!("{toolchain:?}"));
    }
    // The distribution's packages first: where they are to be had, nothing else is asked.
    let result = apt::install(DEBIAN_PACKAGES).or_else(|apt| {
        let Some(rustup) = on_path("rustup") else {
            return Err(format!("{apt}; there is no rustup"));
        };
        announce("rustup target add wasm32-unknown-unknown");
        let mut command = Command::new(rustup);
        run::quietly(command.args(["target", "add", "wasm32-unknown-unknown"]))
            .map(|_| ())
            .map_err(|rustup| format!("{apt}; {rustup}"))
    });
    match (result, Toolchain::find()) {
        (_, Some(toolchain)) => Outcome::Installed(format!("{toolchain:?}")),
        (Err(reason), None) => Outcome::cannot(reason, "rustup target add wasm32-unknown-unknown"),
        (Ok(()), None) => Outcome::cannot(
            "what was installed does not compile for wasm32",
            apt::by_hand(DEBIAN_PACKAGES),
        ),
    }
}

/// The cryptography of TLS is partly in C.
pub(crate) fn wasm_c() -> Outcome {
    if let Some(place) = wasm::clang() {
        return Outcome::have(&place);
    }
    match (apt::install(CLANG_PACKAGES), wasm::clang()) {
        (_, Some(place)) => Outcome::installed(&place),
        (Err(reason), None) => Outcome::cannot(reason, apt::by_hand(CLANG_PACKAGES)),
        (Ok(()), None) => Outcome::cannot("the package has no clang", apt::by_hand(CLANG_PACKAGES)),
    }
}

/// The program must be of the very version that the library was built with.
pub(crate) fn wasm_bindgen(paths: &Paths) -> Outcome {
    let Some(version) = paths.wasm_bindgen_version() else {
        return Outcome::cannot("Cargo.lock names no wasm-bindgen", "cargo generate-lockfile");
    };
    let place = paths.wasm_bindgen(&version);
    if place.is_file() {
        return Outcome::have(&place);
    }
    announce(&format!("cargo install wasm-bindgen-cli {version} (a few minutes)"));
    let root = place.ancestors().nth(2).expect("the cache has folders");
    let mut command = paths.cargo();
    command
        .args(["install", "--quiet", "wasm-bindgen-cli", "--version", &version, "--root"])
        .arg(root)
        .env("CARGO_TARGET_DIR", paths.cache.join("build"));
    match run::quietly(&mut command) {
        Ok(_) => {
            // A few hundred megabytes of intermediate files that nothing will ask for again.
            let _ = std::fs::remove_dir_all(paths.cache.join("build"));
            Outcome::installed(&place)
        }
        Err(reason) => {
            let by_hand = "cargo install wasm-bindgen-cli --version";
            Outcome::cannot(reason, format!("{by_hand} {version} --root {}", root.display()))
        }
    }
}

/// A program that Debian has.
pub(crate) fn packaged(program: &str, packages: &[&str]) -> Outcome {
    if let Some(place) = on_path(program) {
        return Outcome::have(&place);
    }
    let result = apt::install(packages);
    match (result, on_path(program)) {
        (_, Some(place)) => Outcome::installed(&place),
        (Err(reason), None) => Outcome::cannot(reason, apt::by_hand(packages)),
        (Ok(()), None) => {
            Outcome::cannot(format!("the package has no {program}"), apt::by_hand(packages))
        }
    }
}

pub(crate) fn chromium() -> Outcome {
    match find_chromium() {
        Some(place) => Outcome::have(&place),
        None => packaged("chromium", &["chromium", "chromium-driver", "fonts-dejavu-core"]),
    }
}

/// `$PORTOLAN_CHROMIUM`, else a browser of that family on `PATH`.
pub(crate) fn find_chromium() -> Option<PathBuf> {
    let given = std::env::var_os("PORTOLAN_CHROMIUM").map(PathBuf::from);
    let names = ["chromium", "chromium-browser", "google-chrome"];
    given.filter(|file| file.is_file()).or_else(|| names.iter().find_map(|name| on_path(name)))
}

pub(crate) fn specifications(paths: &Paths) -> Outcome {
    match paths.specifications() {
        Some(place) => Outcome::have(&place),
        None => Outcome::cannot(
            "not in $MONGODB_SPECIFICATIONS, ../shared/specifications or the cache",
            "cargo xtask setup --specifications",
        ),
    }
}

/// Clones them into the cache; only when asked, because it reaches out to their home.
pub(crate) fn clone_specifications(paths: &Paths) -> Result<(), String> {
    if paths.specifications().is_some() {
        return Ok(());
    }
    announce("git clone of the specifications");
    let mut command = Command::new("git");
    command.args(["clone", "--quiet", "--depth", "1", SPECIFICATIONS]);
    run::quietly(command.arg(paths.specifications_clone())).map(|_| ())
}

const SPECIFICATIONS: &str = "https://github.com/mongodb/specifications";
