//! `cargo xtask demo`: everything that `portolan demo` needs, then `portolan demo`.

use std::process::ExitCode;

use crate::paths::Paths;
use crate::run;
use crate::setup;
use crate::web;

/// The command line; arguments go to `portolan demo` as they are.
pub(crate) fn command(paths: &Paths, arguments: &[String]) -> ExitCode {
    let mongod = setup::ensure(paths, setup::MONGOD);
    if !mongod.is_there() {
        eprintln!("{}: {mongod}\nthe demo uses its simulated set", setup::MONGOD);
    }
    for component in web::NEEDS {
        let outcome = setup::ensure(paths, *component);
        if !outcome.is_there() {
            eprintln!("{component}: {outcome}");
            return ExitCode::FAILURE;
        }
    }
    eprintln!("... building the dashboard");
    if let Err(reason) = web::build(paths, &mut |command| run::quietly(command).map(|_| ())) {
        eprintln!("error: {reason}");
        return ExitCode::FAILURE;
    }
    eprintln!("... building the program portolan");
    let mut command = paths.cargo();
    command
        .args(["run", "--quiet", "--package", "portolan-bridge", "--bin", "portolan", "--", "demo"])
        .arg("--dashboard")
        .arg(web::dashboard(paths))
        .args(arguments);
    run::foreground(&mut command)
}
