/**
 * Searches for bytes that break the property: inputs are changed at random, and those that reach code
 * which none before them has reached are changed again.
 *
 * V8 itself tells what was reached. Compared with Jazzer.js: its native part needs a newer C library
 * than Debian stable has, and older versions of it are downloaded from elsewhere than npm.
 *
 *     node search.mjs [--seconds N] [--seed N]
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';

import { specifications } from '../../../web/tests/specifications.mjs';
import { bson } from './property.mjs';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});
const BATCH = 64;
const MAX_BYTES = 4096;
const WATCHED = /\/(dist\/(?:bson|element)|bson\/lib\/bson(?:\.node)?)\.m?js$/;

const random = generator(Number(values.seed));
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });

/** Blocks of code, and those of them that ran. */
const known = new Set();
const reached = new Set();
/** The ranges that the last batch was the first to reach. */
let fresh = new Set();
const corpus = [];
let executions = 0;
async function search() {
  for (const seed of seeds()) await consider([seed]);
  const deadline = performance.now() + 1000 * Number(values.seconds);
  while (performance.now() < deadline) {
    const batch = Array.from({ length: BATCH }, () => mutate(pick(corpus)));
    await consider(batch);
  }
  console.log(`executions ${executions}, ${coverage()}, corpus ${corpus.length}`);
}

/** Tries `inputs`; where they reach something new, finds out which of them do, and keeps those. */
async function consider(inputs) {
  inputs.forEach(attempt);
  if (!(await isNew())) return;
  if (inputs.length === 1) {
    corpus.push(inputs[0]);
    return;
  }
  // What they reached is known by now: the ones that are worth keeping are told by their own sets.
  for (const input of inputs) {
    attempt(input);
    const own = await ranges();
    if ([...own].some((range) => fresh.has(range))) {
      corpus.push(input);
      for (const range of own) fresh.delete(range);
    }
  }
}

function attempt(input) {
  executions += 1;
  try {
    bson(input);
  } catch (error) {
    const file = join(process.env.PORTOLAN_FUZZ_OUTPUT ?? '.', `bson_js-crash-${executions}`);
    writeFileSync(file, input);
    console.error(`${file} breaks the property: ${error.stack}`);
    process.exit(1);
  }
}

async function isNew() {
  fresh = new Set();
  for (const range of await ranges()) {
    if (!reached.has(range)) fresh.add(range);
  }
  for (const range of fresh) reached.add(range);
  return fresh.size > 0;
}

/** What was reached since the last question. */
async function ranges() {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const found = new Set();
  for (const { url, functions } of result) {
    if (!WATCHED.test(url)) continue;
    for (const { ranges: parts } of functions) {
      for (const { startOffset, endOffset, count } of parts) {
        const range = `${WATCHED.exec(url)[1]}:${startOffset}-${endOffset}`;
        known.add(range);
        if (count > 0) found.add(range);
      }
    }
  }
  return found;
}

/** How many blocks of the mapping's own two files, and of the BSON package, were reached. */
function coverage() {
  const count = (set, own) => [...set].filter((range) => range.startsWith('dist') === own).length;
  const of = (own) => `${count(reached, own)} of ${count(known, own)}`;
  return `blocks reached: own ${of(true)}, bson ${of(false)}`;
}

/** The corpus of the specification, and the kept inputs. */
function seeds() {
  const kept = fileURLToPath(new URL('../regressions/bson_js/', import.meta.url));
  const inputs = readdirSync(kept).sort().map((name) => readFileSync(join(kept, name)));
  const folder = join(specifications(), 'bson-corpus', 'tests');
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json')).sort()) {
    const suite = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    for (const { canonical_bson: text } of suite.valid ?? []) inputs.push(Buffer.from(text, 'hex'));
    for (const { bson: text } of suite.decodeErrors ?? []) inputs.push(Buffer.from(text, 'hex'));
  }
  return inputs.map((input) => new Uint8Array(input));
}

function mutate(input) {
  let bytes = Uint8Array.from(input);
  for (let times = 1 + below(4); times > 0; times -= 1) bytes = CHANGES[below(CHANGES.length)](bytes);
  bytes = bytes.subarray(0, MAX_BYTES);
  // Most would fail at their length otherwise.
  if (bytes.length >= 5 && below(8) > 0) {
    new DataView(bytes.buffer, bytes.byteOffset).setInt32(0, bytes.length, true);
    bytes[bytes.length - 1] = 0;
  }
  return bytes;
}

const TYPES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 127, 255];
const NUMBERS = [0, 1, -1, 4, 5, 16, 127, 128, 255, 0x7fff_ffff, -0x8000_0000];

const CHANGES = [
  (bytes) => set(bytes, below(256)),
  (bytes) => set(bytes, pick(TYPES)),
  (bytes) => set(bytes, (bytes[below(bytes.length)] ?? 0) ^ (1 << below(8))),
  (bytes) => {
    if (bytes.length < 4) return bytes;
    const at = below(bytes.length - 3);
    new DataView(bytes.buffer, bytes.byteOffset).setInt32(at, pick(NUMBERS), true);
    return bytes;
  },
  (bytes) => cut(bytes, below(bytes.length + 1), below(8)),
  (bytes) => insert(bytes, below(bytes.length + 1), [pick(TYPES), 97 + below(3), 0]),
  (bytes) => insert(bytes, below(bytes.length + 1), Array.from({ length: below(9) }, () => below(256))),
  // A part of another input: an element, where it is well cut.
  (bytes) => {
    const other = pick(corpus);
    const from = below(other.length + 1);
    return insert(bytes, below(bytes.length + 1), other.subarray(from, from + below(64)));
  },
  // A document within a document.
  (bytes) => Uint8Array.from([0, 0, 0, 0, 3 + below(2), 48, 0, ...bytes, 0]),
];

function set(bytes, value) {
  if (bytes.length > 0) bytes[below(bytes.length)] = value;
  return bytes;
}

function cut(bytes, at, count) {
  return Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + count)]);
}

function insert(bytes, at, more) {
  return Uint8Array.from([...bytes.subarray(0, at), ...more, ...bytes.subarray(at)]);
}

function pick(list) {
  return list[below(list.length)];
}

function below(bound) {
  return bound === 0 ? 0 : random() % bound;
}

/** xorshift: the same numbers for the same seed. */
function generator(seed) {
  let state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
}

await search();
