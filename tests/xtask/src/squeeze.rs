//! What a module says that nobody needs: the long names that tie it to its script, and alignment
//! hints.
//!
//! wasm-bindgen gives each import a hash, and a closure's export the names of all its types; the
//! two sides need only have the same name. A hint of alignment changes nothing (WebAssembly
//! specification, "Memory Instructions"), and no engine of today looks at it; but it differs from
//! one copy of a structure to the next.

use std::collections::HashMap;

use crate::wasm::{Reader, Section, push_number, push_text, sections};

/// Short names for long ones.
pub(crate) type Names = HashMap<String, String>;

/// `module` without them, and the names that it has now in the place of others: [`renamed`] puts
/// them into its script.
///
/// # Errors
///
/// The bytes are no WebAssembly module, or it has instructions that Rust's compiler does not write.
pub(crate) fn squeezed(module: &[u8]) -> Result<(Vec<u8>, Names), String> {
    let parts = sections(module)?;
    let names = names(&parts)?;
    let mut squeezed = module[..8].to_vec();
    for part in parts {
        let content = match part.id {
            IMPORTS => imports(&mut Reader(part.content), &names)?,
            EXPORTS => exports(&mut Reader(part.content), &names)?,
            CODE => code(&mut Reader(part.content))?,
            _ => {
                squeezed.extend_from_slice(part.whole);
                continue;
            }
        };
        squeezed.push(part.id);
        push_number(&mut squeezed, content.len());
        squeezed.extend(content);
    }
    Ok((squeezed, names))
}

const IMPORTS: u8 = 2;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;

/// Exports that a person might look for have shorter names.
const LONGEST_EXPORT: usize = 40;

/// `script` with those names in the place of the long ones.
pub(crate) fn renamed(script: &str, names: &Names) -> String {
    let mut renamed = String::with_capacity(script.len());
    let mut rest = script;
    while let Some(start) = rest.find(is_of_name) {
        let (before, from) = rest.split_at(start);
        let (name, after) = from.split_at(from.find(|c| !is_of_name(c)).unwrap_or(from.len()));
        renamed.push_str(before);
        renamed.push_str(names.get(name).map_or(name, String::as_str));
        rest = after;
    }
    renamed + rest
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$'
}

fn names(parts: &[Section<'_>]) -> Result<Names, String> {
    let (mut long, mut kept) = (Vec::new(), Vec::new());
    for part in parts {
        let mut reader = Reader(part.content);
        match part.id {
            IMPORTS => reader.imports(|import| long.push(import.name))?,
            EXPORTS => {
                for _ in 0..reader.number()? {
                    let name = reader.name()?;
                    reader.take(1)?;
                    reader.number()?;
                    match name.len() > LONGEST_EXPORT {
                        true => long.push(name),
                        false => kept.push(name),
                    }
                }
            }
            _ => {}
        }
    }
    let mut short = (0..).map(short).filter(|name| !kept.contains(name));
    Ok(long.into_iter().zip(&mut short).collect())
}

/// The `number`th of all names of letters.
fn short(mut number: usize) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut name = String::new();
    loop {
        name.push(char::from(LETTERS[number % LETTERS.len()]));
        number /= LETTERS.len();
        if number == 0 {
            return name;
        }
    }
}

fn imports(reader: &mut Reader<'_>, names: &Names) -> Result<Vec<u8>, String> {
    let (mut content, mut count) = (Vec::new(), 0);
    reader.imports(|import| {
        count += 1;
        push_text(&mut content, &import.module);
        push_text(&mut content, &names[&import.name]);
        content.extend_from_slice(import.description);
    })?;
    let mut whole = Vec::new();
    push_number(&mut whole, count);
    whole.extend(content);
    Ok(whole)
}

fn exports(reader: &mut Reader<'_>, names: &Names) -> Result<Vec<u8>, String> {
    let count = reader.number()?;
    let mut content = Vec::new();
    push_number(&mut content, count);
    for _ in 0..count {
        let name = reader.name()?;
        push_text(&mut content, names.get(&name).unwrap_or(&name));
        content.extend_from_slice(reader.take(1)?);
        push_number(&mut content, reader.number()?);
    }
    Ok(content)
}

fn code(reader: &mut Reader<'_>) -> Result<Vec<u8>, String> {
    let count = reader.number()?;
    let mut content = Vec::new();
    push_number(&mut content, count);
    for _ in 0..count {
        let length = reader.number()?;
        let body = without_hints(reader.take(length)?)?;
        push_number(&mut content, body.len());
        content.extend(body);
    }
    Ok(content)
}

/// A function's body, its hints all 0.
fn without_hints(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut reader = Reader(body);
    for _ in 0..reader.number()? {
        reader.number()?;
        reader.take(1)?;
    }
    let mut squeezed = body[..body.len() - reader.0.len()].to_vec();
    while !reader.0.is_empty() {
        let before = reader.0;
        let code = reader.take(1)?[0];
        if ACCESSES.contains(&code) {
            if reader.number()? >= SEVERAL_MEMORIES {
                return Err("a module of several memories".into());
            }
            squeezed.extend([code, 0]);
            push_number(&mut squeezed, reader.number()?);
        } else {
            skip_immediates(&mut reader, code)?;
            squeezed.extend_from_slice(&before[..before.len() - reader.0.len()]);
        }
    }
    Ok(squeezed)
}

/// Loads and stores.
const ACCESSES: std::ops::RangeInclusive<u8> = 0x28..=0x3e;
/// The flag of a hint behind which the number of a memory follows.
const SEVERAL_MEMORIES: usize = 64;

/// Skips what follows the instruction `code` ("Binary Format", "Instructions").
fn skip_immediates(reader: &mut Reader<'_>, code: u8) -> Result<(), String> {
    let numbers = match code {
        0x00 | 0x01 | 0x05 | 0x0b | 0x0f | 0x1a | 0x1b | 0x45..=0xc4 | 0xd1 => 0,
        // Blocks, branches, calls, variables, tables, memory, constants.
        0x02..=0x04 | 0x0c | 0x0d | 0x10 | 0x20..=0x26 | 0x3f..=0x42 | 0xd0 | 0xd2 => 1,
        0x0e => reader.number()? + 1,
        0x11 => 2,
        0x1c => {
            let types = reader.number()?;
            return reader.take(types).map(drop);
        }
        0x43 => return reader.take(4).map(drop),
        0x44 => return reader.take(8).map(drop),
        0xfc => match reader.number()? {
            0..=7 => 0,
            9 | 11 | 13 | 15..=17 => 1,
            8 | 10 | 12 | 14 => 2,
            other => return Err(format!("an instruction of code 0xfc {other}")),
        },
        other => return Err(format!("an instruction of code {other:#04x}")),
    };
    for _ in 0..numbers {
        reader.number()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id, content.len() as u8], content].concat()
    }

    #[test]
    fn names_and_hints_go_and_all_else_stays() {
        let closure = "closure".repeat(6);
        let module = |import: &str, export: &str, hint: u8| {
            let mut imports = vec![1];
            push_text(&mut imports, "./x.js");
            push_text(&mut imports, import);
            imports.extend([0, 0]);
            let mut exports = vec![2];
            push_text(&mut exports, "a");
            exports.extend([0, 1]);
            push_text(&mut exports, export);
            exports.extend([0, 1]);
            // local i32; i64.const -1; drop; local.get 0; i32.load offset=300; drop; end
            let body = [1, 1, 0x7f, 0x42, 0x7f, 0x1a, 0x20, 0, 0x28, hint, 0xac, 0x02, 0x1a, 0x0b];
            let code = [&[1, body.len() as u8], body.as_slice()].concat();
            let mut module = b"\0asm\x01\0\0\0".to_vec();
            module.extend(part(1, &[1, 0x60, 0, 0]));
            module.extend([part(2, &imports), part(7, &exports), part(10, &code)].concat());
            module
        };
        let long = module("__wbg_call_0123456789abcdef", &closure, 2);
        let (squeezed, names) = squeezed(&long).unwrap();
        assert_eq!(squeezed, module("b", "c", 0), "\"a\" is an export's name already");
        let script =
            format!("{{__wbg_call_0123456789abcdef: f, x: wasm.{closure}, {closure}2: a}}");
        assert_eq!(renamed(&script, &names), format!("{{b: f, x: wasm.c, {closure}2: a}}"));
    }

    #[test]
    fn each_kind_of_immediates_is_skipped() {
        let bodies: [&[u8]; 6] = [
            &[0, 0x02, 0x40, 0x0e, 1, 0, 0, 0x0b, 0x0b],
            &[0, 0x43, 0x28, 9, 9, 9, 0x44, 0x28, 9, 9, 9, 9, 9, 9, 9, 0x0b],
            &[0, 0x1c, 1, 0x7f, 0x11, 3, 0, 0x10, 0x80, 0x01, 0x0b],
            &[0, 0xfc, 0, 0xfc, 10, 0, 0, 0xfc, 11, 0, 0xd0, 0x6f, 0x0b],
            &[0, 0x41, 0x80, 0x7f, 0x3f, 0, 0x6a, 0xc4, 0x0b],
            &[2, 1, 0x7f, 2, 0x7e, 0x0b],
        ];
        for body in bodies {
            assert_eq!(without_hints(body).as_deref(), Ok(body));
        }
        assert!(without_hints(&[0, 0xfd, 0, 0]).is_err(), "vectors");
        assert!(without_hints(&[0, 0x28, 0x42, 0, 0]).is_err(), "a second memory");
        assert!(without_hints(&[0, 0x28]).is_err(), "the end is missing");
    }

    #[test]
    fn short_names_differ() {
        let all: std::collections::HashSet<_> = (0..3000).map(short).collect();
        assert_eq!(all.len(), 3000);
    }
}
