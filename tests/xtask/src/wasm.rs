//! The compiler for wasm32, and what its modules may import.
//!
//! Where rustup can add the target nothing else is needed. Elsewhere Debian's `rustc-web` compiles,
//! with the standard library built from source, into a build folder of its own because it is
//! another compiler. As the standard library is built anyway, it is built small: a module of that
//! compiler is a tenth smaller than one of rustup's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::paths::{Paths, on_path};
use crate::run;

/// Which compiler builds wasm32 here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The toolchain in use has the target.
    Rustup,
    /// Debian's packages.
    Debian,
}

/// The packages of [`Toolchain::Debian`].
pub(crate) const DEBIAN_PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld-22"];

const TARGET: &str = "wasm32-unknown-unknown";

impl Toolchain {
    /// The one that is installed, the ordinary one first.
    pub(crate) fn find() -> Option<Self> {
        let mut rustc = Command::new("rustc");
        let libraries = run::quietly(rustc.args(["--print", "target-libdir", "--target", TARGET]));
        if libraries.is_ok_and(|path| Path::new(path.trim()).is_dir()) {
            return Some(Self::Rustup);
        }
        let debian = ["/usr/bin/rustc", "/usr/bin/cargo", LINKER, SOURCE];
        debian.iter().all(|file| Path::new(file).exists()).then_some(Self::Debian)
    }

    /// `cargo build` of `package` for wasm32, and the folder below which its module appears.
    pub(crate) fn build(self, paths: &Paths, package: &str) -> (Command, PathBuf) {
        let (mut command, target) = match self {
            Self::Rustup => (paths.cargo(), paths.target.clone()),
            Self::Debian => {
                let target = paths.target.join("wasm");
                let mut command = Command::new("/usr/bin/cargo");
                command
                    .current_dir(&paths.root)
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("RUSTFLAGS", if package == TLS { SMALL_WITH_TEXTS } else { SMALL })
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER)
                    .env("CARGO_TARGET_DIR", &target)
                    .env_remove("RUSTUP_TOOLCHAIN");
                (command, target)
            }
        };
        command.args(["build", "--target", TARGET, "--package", package]);
        if let Some(clang) = clang().filter(|_| package == TLS) {
            // Any archiver will do: rustc reads the objects, and makes an index of its own.
            command.env("CC_wasm32_unknown_unknown", clang).env("AR_wasm32_unknown_unknown", "ar");
        }
        if self == Self::Debian {
            command.args(["-Zbuild-std=std,panic_abort", "-Zbuild-std-features=optimize_for_size"]);
        }
        (command, target.join(TARGET))
    }
}

/// A panic is a trap without a text, and `Debug` of our types names the variant only: both are for
/// whoever works on this project, and a tenth of the module. Loops stay as they are: rewritten for
/// cheaper steps (LLVM's loop strength reduction), they have more variables.
const SMALL: &str = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none \
                     -Zfmt-debug=shallow -Cllvm-args=-disable-lsr";

/// The same for the module of TLS, whose certificates' names come out of `Debug`.
const SMALL_WITH_TEXTS: &str = "-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none";

/// The package with TLS, whose cryptography is partly in C.
pub(crate) const TLS: &str = "portolan-web-tls";

/// The packages of a compiler of C for wasm32.
pub(crate) const CLANG_PACKAGES: &[&str] = &["clang-22"];

/// A compiler of C for wasm32: `$PORTOLAN_CLANG`, else a clang on `PATH`.
pub(crate) fn clang() -> Option<PathBuf> {
    let given = std::env::var_os("PORTOLAN_CLANG").map(PathBuf::from);
    let names = ["clang-22", "clang", "clang-20", "clang-19", "clang-18"];
    given.filter(|file| file.is_file()).or_else(|| names.iter().find_map(|name| on_path(name)))
}

const LINKER: &str = "/usr/bin/wasm-ld-22";
const SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";

/// The modules that `module` imports from, each once, in the order of its import section.
///
/// # Errors
///
/// When the bytes are no WebAssembly module.
pub(crate) fn import_modules(module: &[u8]) -> Result<Vec<String>, String> {
    let mut modules: Vec<String> = Vec::new();
    for section in sections(module)?.iter().filter(|section| section.id == IMPORT_SECTION) {
        Reader(section.content).imports(|import| {
            if !modules.contains(&import.module) {
                modules.push(import.module);
            }
        })?;
    }
    Ok(modules)
}

const IMPORT_SECTION: u8 = 2;

/// A part of a module.
pub(crate) struct Section<'a> {
    pub(crate) id: u8,
    pub(crate) content: &'a [u8],
    /// The same with its header.
    pub(crate) whole: &'a [u8],
}

/// The parts of `module`.
///
/// # Errors
///
/// When the bytes are no WebAssembly module.
pub(crate) fn sections(module: &[u8]) -> Result<Vec<Section<'_>>, String> {
    let mut reader = Reader(module.strip_prefix(b"\0asm\x01\0\0\0").ok_or("no wasm header")?);
    let mut sections = Vec::new();
    while !reader.0.is_empty() {
        let before = reader.0;
        let id = reader.byte()?;
        let length = reader.number()?;
        let content = reader.take(length)?;
        sections.push(Section { id, content, whole: &before[..before.len() - reader.0.len()] });
    }
    Ok(sections)
}

/// One import.
pub(crate) struct Import<'a> {
    pub(crate) module: String,
    pub(crate) name: String,
    /// What it is, in the module's bytes.
    pub(crate) description: &'a [u8],
}

/// Reads the binary format.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// Calls `each` with every import.
    pub(crate) fn imports(&mut self, mut each: impl FnMut(Import<'a>)) -> Result<(), String> {
        for _ in 0..self.number()? {
            let (module, name) = (self.name()?, self.name()?);
            let before = self.0;
            let kind = self.byte()?;
            self.skip_description(kind)?;
            let description = &before[..before.len() - self.0.len()];
            each(Import { module, name, description });
        }
        Ok(())
    }

    /// How many functions an import section has.
    pub(crate) fn imported_functions(&mut self) -> Result<usize, String> {
        let mut functions = 0;
        self.imports(|import| functions += usize::from(import.description[0] == FUNCTION))?;
        Ok(functions)
    }

    fn skip_description(&mut self, kind: u8) -> Result<(), String> {
        match kind {
            FUNCTION => self.number().map(|_| ()),
            1 => {
                self.byte()?;
                self.skip_limits()
            }
            2 => self.skip_limits(),
            3 => self.take(2).map(|_| ()),
            kind => Err(format!("import of unknown kind {kind}")),
        }
    }

    fn skip_limits(&mut self) -> Result<(), String> {
        let has_maximum = self.byte()? & 1 == 1;
        self.number()?;
        if has_maximum {
            self.number()?;
        }
        Ok(())
    }

    pub(crate) fn name(&mut self) -> Result<String, String> {
        let length = self.number()?;
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1).map(|bytes| bytes[0])
    }

    /// An unsigned LEB128 number.
    pub(crate) fn number(&mut self) -> Result<usize, String> {
        let mut value = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let byte = self.byte()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number is too long".into())
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        if length > self.0.len() {
            return Err("the module ends early".into());
        }
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(taken)
    }
}

const FUNCTION: u8 = 0;

/// Appends an unsigned LEB128 number.
pub(crate) fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a name.
pub(crate) fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_number(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_read() {
        // (module (import "env" "f" (func (type 0))) (import "x" "m" (memory 1 2)))
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend(b"\x01\x04\x01\x60\x00\x00");
        module.extend(b"\x02\x11\x02\x03env\x01f\x00\x00\x01x\x01m\x02\x01\x01\x02");
        assert_eq!(import_modules(&module), Ok(vec!["env".into(), "x".into()]));
    }

    #[test]
    fn damaged_modules_are_refused() {
        assert!(import_modules(b"\0asm").is_err());
        assert!(import_modules(b"\0asm\x01\0\0\0\x02\x7f").is_err());
    }
}
