/**
 * Finds one element in the bytes of a document by its path.
 *
 * Used only for values that JavaScript's own types cannot carry (dates outside the range of `Date`), or
 * that the classes of `bson` change.
 * https://bsonspec.org/spec.html
 */

/** Keys and array positions, from the outermost document inwards. */
export type Path = readonly (string | number)[];

/** Where an element's type byte and its value stand. */
export interface Element {
  typeOffset: number;
  valueOffset: number;
}

/** The last element at `path` (a repeated key: the last wins, as in decoding), if there is one. */
export function elementAt(bytes: Uint8Array, path: Path): Element | undefined {
  let document = 0;
  let found: Element | undefined;
  for (const step of path) {
    if (found !== undefined) {
      if (!CONTAINERS.includes(bytes[found.typeOffset] ?? 0)) return undefined;
      document = innerDocument(bytes, found);
    }
    found = elementIn(bytes, document, step);
    if (found === undefined) return undefined;
  }
  return found;
}

const decoder = new TextDecoder();

/** The text at `path`, if one is there. */
export function textAt(bytes: Uint8Array, path: Path): string | undefined {
  const element = elementAt(bytes, path);
  if (element === undefined || bytes[element.typeOffset] !== 0x02) return undefined;
  const start = element.valueOffset + 4;
  const length = int32(bytes, element.valueOffset);
  return decoder.decode(bytes.subarray(start, start + length - 1));
}

/** A number is a position: what the keys of an array say counts for nothing. */
function elementIn(bytes: Uint8Array, document: number, step: string | number): Element | undefined {
  let found: Element | undefined;
  let position = 0;
  let offset = document + 4;
  while (bytes[offset] !== 0) {
    const nameEnd = bytes.indexOf(0, offset + 1);
    const valueOffset = nameEnd + 1;
    const key = typeof step === 'number' ? position : decoder.decode(bytes.subarray(offset + 1, nameEnd));
    if (key === step) found = { typeOffset: offset, valueOffset };
    position += 1;
    offset = valueOffset + valueLength(bytes, offset, valueOffset);
  }
  return found;
}

/** The scope of code is the document behind its length and text; others stand at the value. */
function innerDocument(bytes: Uint8Array, element: Element): number {
  if (bytes[element.typeOffset] !== CODE_WITH_SCOPE) return element.valueOffset;
  return element.valueOffset + 8 + int32(bytes, element.valueOffset + 4);
}

const CODE_WITH_SCOPE = 0x0f;
/** What has elements: documents, arrays, code with its scope. */
const CONTAINERS = [0x03, 0x04, CODE_WITH_SCOPE];

function valueLength(bytes: Uint8Array, typeOffset: number, at: number): number {
  const type = bytes[typeOffset];
  switch (type) {
    case 0x06: // undefined
    case 0x0a: // null
    case 0x7f: // max key
    case 0xff: // min key
      return 0;
    case 0x08: // boolean
      return 1;
    case 0x10: // int32
      return 4;
    case 0x01: // double
    case 0x09: // date
    case 0x11: // timestamp
    case 0x12: // int64
      return 8;
    case 0x07: // ObjectId
      return 12;
    case 0x13: // Decimal128
      return 16;
    case 0x02: // string
    case 0x0d: // code
    case 0x0e: // symbol
      return 4 + int32(bytes, at);
    case 0x03: // document
    case 0x04: // array
    case CODE_WITH_SCOPE:
      return int32(bytes, at);
    case 0x05: // binary
      return 5 + int32(bytes, at);
    case 0x0b: // regular expression: two strings without lengths
      return bytes.indexOf(0, bytes.indexOf(0, at) + 1) + 1 - at;
    case 0x0c: // DBPointer
      return 4 + int32(bytes, at) + 12;
    default:
      throw new Error(`unknown BSON type ${String(type)}`);
  }
}

function int32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, 4).getInt32(0, true);
}
