/** What must hold for any bytes that are to become a JavaScript document. */
import assert from 'node:assert/strict';

import { decode, encode } from '../../../web/dist/bson.js';

/**
 * Bytes are refused with an error of the BSON package, or are a document: one that can be written, and that is the same
 * from then on. Written, it has the bytes that it came from, unless they hold what JavaScript objects
 * cannot (see the head of `web/js/bson.ts`).
 */
export function bson(bytes) {
  let document;
  try {
    document = decode(bytes);
  } catch (error) {
    assert.match(error.name, /^BSON/, error);
    return;
  }
  let written;
  try {
    written = encode(document);
  } catch (error) {
    assert.ok(error.kind === 'bson' && /Vector/.test(error.message), error);
    return;
  }
  if (!same(written, bytes)) {
    assert.ok(isLossy(bytes), `changed without a reason: ${hex(bytes)} is ${hex(written)}`);
  }
  const again = encode(decode(written));
  assert.ok(same(again, written), `changed once more: ${hex(written)} is ${hex(again)}`);
}

function same(left, right) {
  return Buffer.compare(left, right) === 0;
}

function hex(bytes) {
  return Buffer.from(bytes).toString('hex');
}

/** Whether `bytes`, a document that was read, hold what a JavaScript object does not keep. */
function isLossy(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return hasReference(bytes, 0) || walk(bytes, view, 0, false);
}

const FIXED = { 0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0a: 0, 0x10: 4, 0x11: 8, 0x12: 8 };
Object.assign(FIXED, { 0x13: 16, 0xff: 0, 0x7f: 0 });

function walk(bytes, view, start, isArray) {
  const end = start + view.getInt32(start, true) - 1;
  const seen = new Set();
  let at = start + 4;
  while (at < end) {
    const type = bytes[at];
    const nameEnd = bytes.indexOf(0, at + 1);
    if (!isText(bytes.subarray(at + 1, nameEnd))) return true;
    const name = Buffer.from(bytes.subarray(at + 1, nameEnd)).toString();
    const value = nameEnd + 1;
    if (isArray ? name !== String(seen.size) : /^\d+$/.test(name)) return true;
    if (seen.has(name)) return true;
    seen.add(name);
    const length = elementLength(bytes, view, type, value);
    if (length === undefined || loses(bytes, view, type, name, value)) return true;
    at = value + length;
  }
  return at !== end;
}

/** Bytes of a value; `undefined` for what is deprecated or written otherwise. */
function elementLength(bytes, view, type, value) {
  if (type in FIXED) return FIXED[type];
  switch (type) {
    case 0x02:
    case 0x0d:
    case 0x0e:
      return 4 + view.getInt32(value, true);
    case 0x03:
    case 0x04:
    case 0x0f:
      return view.getInt32(value, true);
    case 0x05:
      return 5 + view.getInt32(value, true);
    case 0x0b:
      return bytes.indexOf(0, bytes.indexOf(0, value) + 1) + 1 - value;
    default:
      return undefined;
  }
}

function loses(bytes, view, type, name, value) {
  switch (type) {
    case 0x01: {
      const isNaN = Number.isNaN(view.getFloat64(value, true));
      return isNaN && view.getBigUint64(value, true) !== 0x7ff8_0000_0000_0000n;
    }
    case 0x03:
      // A reference's own members come first.
      return name.startsWith('$') || hasReference(bytes, value) || walk(bytes, view, value, false);
    case 0x04:
      return walk(bytes, view, value, true);
    case 0x05:
      // The old subtype has its length twice, and vectors are checked.
      return bytes[value + 4] === 2 || bytes[value + 4] === 9;
    case 0x06:
    case 0x0c:
      return true;
    case 0x0b: {
      // Flags are in order.
      const from = bytes.indexOf(0, value) + 1;
      if (!isText(bytes.subarray(value, from - 1))) return true;
      const flags = [...bytes.subarray(from, bytes.indexOf(0, from))];
      return flags.some((flag, index) => index > 0 && flag <= flags[index - 1]);
    }
    case 0x0d:
    case 0x0e:
      return !isText(bytes.subarray(value + 4, value + 4 + view.getInt32(value, true)));
    case 0x0f:
      if (!isText(bytes.subarray(value + 8, value + 8 + view.getInt32(value + 4, true)))) return true;
      return walk(bytes, view, value + 8 + view.getInt32(value + 4, true), false);
    default:
      return false;
  }
}

/** Texts that are none become replacement characters. */
function isText(bytes) {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

function hasReference(bytes, value) {
  const length = Buffer.from(bytes).readInt32LE(value);
  return Buffer.from(bytes.subarray(value, value + length)).includes('$ref\0');
}
