//! Starts a replica set, prints its connection string, and stops it at the end of standard input.
//!
//! `cargo xtask servers` runs this program. An interrupt (Ctrl-C) stops the set as well: the
//! watchdog of the set does it when this process is gone.

// A program: its output is for a person.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io;
use std::process::ExitCode;

use portolan_support::{MemberOptions, MongodBinary, ReplicaSet, ReplicaSetOptions};

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match serve(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> portolan_support::Result<()> {
    let binary = MongodBinary::find(arguments.version.as_deref())?;
    let mut options = ReplicaSetOptions::new(binary, arguments.members);
    options.port_base = arguments.port;
    options.name.clone_from(&arguments.name);
    for (member, tags) in options.members.iter_mut().zip(&arguments.tags) {
        *member = MemberOptions { tags: tags.clone(), ..MemberOptions::default() };
    }
    let set = ReplicaSet::start(options)?;
    println!("{}", set.uri());
    eprintln!("mongod {}, {} members; Ctrl-C stops them", set.version(), set.members().len());
    // Nobody writes anything here: the end of the input is the sign to stop.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    Ok(())
}

struct Arguments {
    version: Option<String>,
    members: usize,
    port: Option<u16>,
    name: String,
    tags: Vec<Vec<(String, String)>>,
}

impl Arguments {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut read =
            Self { version: None, members: 3, port: None, name: "rs0".into(), tags: Vec::new() };
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
            match word.as_str() {
                "--version" => read.version = Some(value()?),
                "--members" => read.members = number(&word, &value()?)?,
                "--port" => read.port = Some(number(&word, &value()?)?),
                "--name" => read.name = value()?,
                "--tags" => read.tags.push(tags(&value()?)?),
                _ => return Err(format!("unknown argument {word}")),
            }
        }
        Ok(read)
    }
}

fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name}: {text} is not a number in range"))
}

fn tags(text: &str) -> Result<Vec<(String, String)>, String> {
    text.split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once(':') {
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(format!("--tags: {pair} is not name:value")),
        })
        .collect()
}

const HELP: &str = "\
usage: cargo xtask servers [options]

  --version V   which mongod of the cache (6.0.5; others after `cargo xtask setup --all`)
  --members N   how many members (3)
  --port P      the first member's port, the others following (free ports)
  --name NAME   the set's name (rs0)
  --tags TAGS   tags of the next member, as dc:paris,rack:1; once a member";
