//! `portolan replay`: a recording, run again.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use portolan::engine::sdam::trace::Replay;

use super::args::ReplayArgs;
use super::{Failure, failed, say, text};

/// Prints the events that the recording leads to: the same, byte for byte, that `watch` printed.
pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let reader: Box<dyn BufRead> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        let name = args.file.display();
        let file = File::open(&args.file).map_err(|error| failed(format!("{name}: {error}")))?;
        Box::new(BufReader::new(file))
    };
    let mut replay = Replay::new();
    for (number, line) in reader.lines().enumerate() {
        let place = |error: &dyn std::fmt::Display| failed(format!("line {}: {error}", number + 1));
        let line = line.map_err(|error| place(&error))?;
        let record = serde_json::from_str(&line).map_err(|error| place(&error))?;
        for event in replay.events(record).map_err(|error| place(&error))? {
            let line = if args.json {
                serde_json::to_string(&event).map_err(failed)?
            } else {
                text::line(&event)
            };
            if !say(line)? {
                return Ok(());
            }
        }
    }
    Ok(())
}
