//! Every kept input, as a test of its own.

use std::fs;
use std::path::Path;

use libtest_mimic::{Arguments, Failed, Trial};
use portolan_fuzz::PROPERTIES;

fn main() -> Result<(), Failed> {
    let mut trials = Vec::new();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions");
    for (name, property) in PROPERTIES {
        let mut files = fs::read_dir(kept.join(name))?.collect::<Result<Vec<_>, _>>()?;
        files.sort_by_key(fs::DirEntry::file_name);
        if files.is_empty() {
            return Err(format!("there are no inputs for {name}").into());
        }
        for file in files {
            let title = format!("{name}/{}", file.file_name().to_string_lossy());
            let path = file.path();
            trials.push(Trial::test(title, move || {
                property(&fs::read(path)?);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
