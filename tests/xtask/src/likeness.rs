//! The order in which a module's functions compress best: like beside like.
//!
//! What gzip has seen is forgotten 32 KiB later, and an optimiser puts the functions first that are
//! called most, wherever their likes are. Functions of the same generic code are much alike: beside
//! each other, they cost a thirtieth of the module less.

use std::collections::{HashMap, VecDeque};

use crate::wasm::{Reader, push_number, push_text, sections};

/// `module` with each of its own functions named by its place in that order, and without any other
/// names: for `wasm-opt --reorder-functions-by-name`.
///
/// # Errors
///
/// The bytes are no WebAssembly module.
pub(crate) fn named_by_place(module: &[u8]) -> Result<Vec<u8>, String> {
    let (mut named, mut imports, mut bodies) = (module[..8.min(module.len())].to_vec(), 0, None);
    for section in sections(module)? {
        match section.id {
            IMPORTS => imports = Reader(section.content).imported_functions()?,
            CODE => bodies = Some(functions(section.content)?),
            CUSTOM if Reader(section.content).name()? == NAMES => continue,
            _ => {}
        }
        named.extend_from_slice(section.whole);
    }
    let order = order(&bodies.ok_or("the module has no functions")?);
    let mut names = Vec::new();
    push_number(&mut names, order.len());
    let mut places: Vec<_> = order.iter().enumerate().map(|(place, own)| (own, place)).collect();
    places.sort_unstable();
    for (own, place) in places {
        push_number(&mut names, imports + own);
        push_text(&mut names, &format!("{place:06}"));
    }
    let mut content = Vec::new();
    push_text(&mut content, NAMES);
    content.push(FUNCTION_NAMES);
    push_number(&mut content, names.len());
    content.extend(names);
    named.push(CUSTOM);
    push_number(&mut named, content.len());
    named.extend(content);
    Ok(named)
}

const CUSTOM: u8 = 0;
const IMPORTS: u8 = 2;
const CODE: u8 = 10;
const NAMES: &str = "name";
const FUNCTION_NAMES: u8 = 1;

/// The bodies of a code section.
fn functions(section: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut reader = Reader(section);
    let count = reader.number()?;
    (0..count)
        .map(|_| {
            let length = reader.number()?;
            reader.take(length)
        })
        .collect()
}

/// Bytes that two functions have in common where they are alike.
const GRAM: usize = 6;
/// What is in more functions than this says nothing of two.
const COMMON: usize = 300;
/// How far back a function looks for its likes, in bytes.
const WINDOW: usize = 8 * 1024;
/// A short function's likeness is luck in part.
const SHORT: u64 = 100;

/// The largest first, and then always the one that has most in common with those before it.
fn order(bodies: &[&[u8]]) -> Vec<usize> {
    let grams = Grams::of(bodies);
    let mut window = Window::new(&grams, bodies.len());
    let mut left: Vec<usize> = (0..bodies.len()).collect();
    let (mut order, mut recent, mut bytes) = (Vec::new(), VecDeque::new(), 0);
    let mut next = bodies.iter().enumerate().max_by_key(|(_, body)| body.len()).map(|(own, _)| own);
    while let Some(own) = next {
        left.retain(|other| *other != own);
        order.push(own);
        recent.push_back(own);
        bytes += bodies[own].len();
        window.enter(own);
        while bytes > WINDOW && recent.len() > 1 {
            let Some(gone) = recent.pop_front() else { break };
            bytes -= bodies[gone].len();
            window.leave(gone);
        }
        let likeness =
            |own: &usize| window.shared[*own] * 1_000_000 / (bodies[*own].len() as u64 + SHORT);
        // Of equals the first.
        next = left.iter().copied().rev().max_by_key(likeness);
    }
    order
}

/// What functions have in common.
struct Grams {
    /// Those of each function, each once.
    of: Vec<Vec<usize>>,
    /// The functions that have each.
    in_functions: Vec<Vec<usize>>,
}

impl Grams {
    fn of(bodies: &[&[u8]]) -> Self {
        let mut numbers = HashMap::new();
        let (mut of, mut in_functions) = (Vec::new(), Vec::<Vec<usize>>::new());
        for (own, body) in bodies.iter().enumerate() {
            let mut grams = Vec::new();
            for gram in body.windows(GRAM) {
                let number = *numbers.entry(gram).or_insert(in_functions.len());
                if number == in_functions.len() {
                    in_functions.push(Vec::new());
                }
                if in_functions[number].last() != Some(&own) {
                    in_functions[number].push(own);
                    grams.push(number);
                }
            }
            of.push(grams);
        }
        for grams in &mut of {
            grams.retain(|gram| (2..=COMMON).contains(&in_functions[*gram].len()));
        }
        Self { of, in_functions }
    }
}

/// The functions that were placed last.
struct Window<'a> {
    grams: &'a Grams,
    /// How many of them have each gram.
    counts: Vec<u32>,
    /// How many of the window's grams each function has.
    shared: Vec<u64>,
}

impl<'a> Window<'a> {
    fn new(grams: &'a Grams, functions: usize) -> Self {
        let counts = vec![0; grams.in_functions.len()];
        Self { grams, counts, shared: vec![0; functions] }
    }

    fn enter(&mut self, own: usize) {
        for gram in &self.grams.of[own] {
            self.counts[*gram] += 1;
            if self.counts[*gram] == 1 {
                for other in &self.grams.in_functions[*gram] {
                    self.shared[*other] += 1;
                }
            }
        }
    }

    fn leave(&mut self, own: usize) {
        for gram in &self.grams.of[own] {
            self.counts[*gram] -= 1;
            if self.counts[*gram] == 0 {
                for other in &self.grams.in_functions[*gram] {
                    self.shared[*other] -= 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A module of one import and these bodies, and a name section of its own.
    fn module(bodies: &[&[u8]]) -> Vec<u8> {
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        // (import "e" "f" (func (type 0))), (import "e" "m" (memory 1))
        let imports = b"\x02\x01e\x01f\x00\x00\x01e\x01m\x02\x00\x01";
        let mut code = vec![bodies.len() as u8];
        for body in bodies {
            push_number(&mut code, body.len());
            code.extend_from_slice(body);
        }
        for (id, content) in
            [(IMPORTS, imports.as_slice()), (CODE, &code), (CUSTOM, b"\x04nameold")]
        {
            module.push(id);
            push_number(&mut module, content.len());
            module.extend_from_slice(content);
        }
        module
    }

    #[test]
    fn like_functions_are_beside_each_other() {
        let (one, other) = (*b"abcdefghijklmnopqrstu", *b"ABCDEFGHIJKLMNOPQRSTUVW");
        let (like_one, like_other) = (*b"abcdefghijklm", *b"ABCDEFGHIJKLM");
        assert_eq!(order(&[&one, &other, &like_one, &like_other]), [1, 3, 0, 2]);
        assert_eq!(order(&[b"", b"a", b""]), [1, 0, 2], "with nothing in common, as they were");
        assert!(order(&[]).is_empty());
    }

    #[test]
    fn each_function_has_its_place_for_a_name() {
        let given = module(&[b"abcdefgh", b"12345678901234567890", b"abcdefgh!"]);
        let named = named_by_place(&given).unwrap();
        let end = named.len() - given.len() + b"\0\x08\x04nameold".len();
        let names = &named[named.len() - end..];
        let expected = b"\x00\x20\x04name\x01\x19\x03\x01\x06000001\x02\x06000000\x03\x06000002";
        assert_eq!(names, expected, "behind the import, and instead of the old names");
        assert!(named.starts_with(&given[..given.len() - 10]), "nothing else is changed");
        let again = named_by_place(&named).unwrap();
        assert_eq!(again, named);
    }

    #[test]
    fn damaged_modules_are_refused() {
        let whole = module(&[b"abcdefgh"]);
        assert!(named_by_place(b"").is_err());
        assert!(named_by_place(&whole[..9]).is_err());
        assert!(named_by_place(&whole[..whole.len() - 15]).is_err());
        assert!(named_by_place(&whole[..8]).is_err(), "there are no functions");
    }
}
