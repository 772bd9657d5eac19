//! What a program pays to have the driver: crates, a clean release build, bytes. Both programs
//! connect on tokio and print what `ping` answers; both drivers have their default features.
//!
//! What bounds it: of the program, rustls and ring are a quarter, the standard library and tokio a
//! fifth; of the build, this crate is a quarter, rustls an eighth, tokio and bson a fifteenth each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::peer::Failure;
use crate::table::{Table, fixed};

struct Program {
    name: &'static str,
    dependency: String,
    import: &'static str,
    connect: &'static str,
}

struct Figures {
    crates: usize,
    seconds: f64,
    bytes: u64,
}

pub fn run() -> Result<(), Failure> {
    let leaf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../transports/tokio");
    let leaf = leaf.canonicalize()?;
    let programs = [
        Program {
            name: "portolan",
            dependency: format!(
                "portolan = {{ path = \"{}\" }}\nportolan-tokio = {{ path = \"{}\" }}",
                leaf.join("../..").display(),
                leaf.display(),
            ),
            import: "use portolan::bson::doc;",
            connect: "portolan_tokio::connect(&uri).await?",
        },
        Program {
            name: "official",
            dependency: "mongodb = \"3.9\"".to_owned(),
            import: "use mongodb::bson::doc;",
            connect: "mongodb::Client::with_uri_str(&uri).await?",
        },
    ];
    let folder = std::env::temp_dir().join(format!("portolan-size-{}", std::process::id()));
    let figures = programs.iter().map(|program| measure(&folder, program));
    let figures = figures.collect::<Result<Vec<_>, Failure>>();
    let _ = fs::remove_dir_all(&folder);
    print(&programs, &figures?);
    Ok(())
}

fn print(programs: &[Program], figures: &[Figures]) {
    let mut table = Table::new(["driver", "crates", "clean release build s", "stripped MB"]);
    for (program, Figures { crates, seconds, bytes }) in programs.iter().zip(figures) {
        let megabytes = *bytes as f64 / 1e6;
        table.row([
            program.name.to_owned(),
            crates.to_string(),
            fixed(*seconds, 0),
            fixed(megabytes, 2),
        ]);
    }
    let ratio = |of: fn(&Figures) -> f64| of(&figures[0]) / of(&figures[1]);
    table.row([
        "of official".to_owned(),
        fixed(ratio(|one| one.crates as f64), 2),
        format!("{} (target 0.33)", fixed(ratio(|one| one.seconds), 2)),
        format!("{} (target 0.33)", fixed(ratio(|one| one.bytes as f64), 2)),
    ]);
    table.print();
}

fn measure(folder: &Path, program: &Program) -> Result<Figures, Failure> {
    let package = folder.join(program.name);
    write(&package, program)?;
    let tree = ["tree", "--edges", "normal,build", "--prefix", "none", "--no-dedupe"];
    let tree = cargo(&package, &tree)?;
    let mut crates: Vec<&str> = tree.lines().filter_map(|line| line.split(" (").next()).collect();
    crates.sort_unstable();
    crates.dedup();
    // What has to be fetched is not part of the build.
    cargo(&package, &["fetch"])?;
    let began = Instant::now();
    cargo(&package, &["build", "--release", "--offline"])?;
    let seconds = began.elapsed().as_secs_f64();
    let built = package.join("target/release").join(format!("hello-{}", program.name));
    // The program itself is no crate of the driver's.
    Ok(Figures { crates: crates.len() - 1, seconds, bytes: fs::metadata(built)?.len() })
}

fn write(package: &Path, program: &Program) -> Result<(), Failure> {
    fs::create_dir_all(package.join("src"))?;
    let manifest = format!(
        "[package]\nname = \"hello-{}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[dependencies]\n{}\n\
         tokio = {{ version = \"1\", features = [\"rt-multi-thread\", \"macros\"] }}\n\n\
         [profile.release]\nstrip = true\n",
        program.name, program.dependency,
    );
    let source = format!(
        "{}\n\n#[tokio::main]\nasync fn main() -> Result<(), Box<dyn std::error::Error>> {{\n    \
         let uri = std::env::args().nth(1).ok_or(\"no connection string\")?;\n    \
         let client = {};\n    \
         let reply = client.database(\"admin\").run_command(doc! {{ \"ping\": 1 }}).await?;\n    \
         println!(\"{{reply}}\");\n    Ok(())\n}}\n",
        program.import, program.connect,
    );
    fs::write(package.join("Cargo.toml"), manifest)?;
    Ok(fs::write(package.join("src/main.rs"), source)?)
}

fn cargo(package: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let program = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    let mut command = Command::new(program);
    // Its own target folder: nothing that was built before helps.
    command.args(arguments).current_dir(package).env("CARGO_TARGET_DIR", package.join("target"));
    let output = command.output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("cargo {}: {said}", arguments.join(" ")).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
