/**
 * BSON to JavaScript values and back, without loss.
 *
 * The types are those of the `bson` package: MongoDB's own, so documents travel between this client,
 * the official driver and a user's existing code unchanged. Compared with a codec of our own (two
 * sets of classes that do not recognise each other) and `bson-ext` (native, no browser).
 *
 * What comes out:
 *
 * - int32 is a `number`; a double is a `number` too, unless it holds a whole value in the int32 range,
 *   which would go back as an int32: that one stays a `Double`.
 * - int64 is a `Long` (a `bigint` is accepted on the way in).
 * - a date is a `Date`, or a {@link DateTime} when it lies outside the range of `Date`.
 * - everything else is its class in `bson`: ObjectId, Decimal128, Binary, UUID, Timestamp, BSONRegExp...
 *
 * What JavaScript objects cannot hold, and is therefore lost: a repeated key (the last wins), the
 * position of whole-number keys ("0", "1" come first), which of the many NaNs a NaN is, the deprecated
 * types undefined (read as `undefined`, not written) and DBPointer (read as a DBRef). What is no UTF-8,
 * and so no BSON, in a key, a pattern or a program has replacement characters. The members of a DBRef
 * come in their order ($ref, $id, $db). A vector that is malformed is read, and cannot be written.
 */
import {
  BSONRegExp,
  Binary,
  BSONSymbol,
  Code,
  DBRef,
  Decimal128,
  Double,
  EJSON,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
  calculateObjectSize,
  deserialize,
  serialize,
  setInternalBufferSize,
} from 'bson';

import { type Path, elementAt, textAt } from './element.js';
import { toPortolanError } from './error.js';

export {
  BSONRegExp,
  Binary,
  BSONSymbol,
  Code,
  DBRef,
  Decimal128,
  Double,
  EJSON,
  Int32,
  Long,
  MaxKey,
  MinKey,
  ObjectId,
  Timestamp,
  UUID,
};

/** A document: its keys in order, its values as this module maps them. */
export type Document = { [key: string]: unknown };

/** A date that `Date` cannot represent: milliseconds since 1970 in the full range of int64. */
export class DateTime {
  constructor(readonly milliseconds: Long) {}

  toString(): string {
    return `DateTime(${this.milliseconds.toString()})`;
  }

  toJSON(): unknown {
    return { $date: { $numberLong: this.milliseconds.toString() } };
  }
}

/** The document that `bytes` hold. Throws when they are not one valid document. */
export function decode(bytes: Uint8Array): Document {
  const read: unknown = deserialize(bytes, {
    promoteValues: false,
    promoteLongs: false,
    promoteBuffers: false,
    bsonRegExp: true,
  });
  // A whole document that looks like a reference is a document all the same.
  const document = read instanceof DBRef ? membersOf(read, bytes) : (read as Document);
  relaxInPlace(document, bytes, []);
  return document;
}

/**
 * The bytes of `document`. `undefined` members are left out, as the official driver does. Throws what
 * is of kind `bson` when it cannot be written.
 */
export function encode(document: object): Uint8Array {
  try {
    return encoded(document);
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw toPortolanError({ kind: 'bson', message, cause });
  }
}

function encoded(document: object): Uint8Array {
  const dates: Found[] = [];
  const prepared = liftDates(document, [], dates) as Document;
  const bytes = serialized(prepared);
  for (const { path } of dates) {
    const element = elementAt(bytes, path);
    if (element === undefined) throw new Error(`no element at ${path.join('.')}`);
    bytes[element.typeOffset] = DATE;
  }
  return bytes;
}

/** What `serialize` has room for; without room it throws in some runtimes, and cuts off in others. */
let room = 17 * 1024 * 1024;

function serialized(document: Document): Uint8Array {
  const options = { ignoreUndefined: true };
  try {
    const bytes = serialize(document, options);
    // A copy: it may be a view of a buffer that is used again.
    if (bytes.length < room) return Uint8Array.from(bytes);
  } catch (thrown) {
    if (!(thrown instanceof RangeError)) throw thrown;
  }
  // One byte more, so that a document that just fits is seen to.
  room = Math.max(room, calculateObjectSize(document, options) + 1);
  setInternalBufferSize(room);
  return Uint8Array.from(serialize(document, options));
}

interface Found {
  path: Path;
}

const DATE = 0x09;
const INT32_MIN = -0x8000_0000;
const INT32_MAX = 0x7fff_ffff;

type Container = Document | unknown[];

function relaxInPlace(container: Container, bytes: Uint8Array, path: Path): void {
  if (Array.isArray(container)) {
    for (let index = 0; index < container.length; index += 1) {
      container[index] = relax(container[index], bytes, [...path, index]);
    }
    return;
  }
  for (const key of Object.keys(container)) {
    const old = container[key];
    const relaxed = relax(old, bytes, [...path, key]);
    if (relaxed !== old) setMember(container, key, relaxed);
  }
}

function relax(value: unknown, bytes: Uint8Array, path: Path): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Int32) return value.value;
  if (value instanceof Double) return writesAsInt32(value.value) ? value : value.value;
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? dateTimeAt(bytes, path) : value;
  }
  if (value instanceof Code) {
    if (value.scope) relaxInPlace(value.scope as Document, bytes, [...path, SCOPE]);
    return value;
  }
  if (value instanceof DBRef) {
    relaxReference(value, bytes, path);
    return value;
  }
  if (isPlain(value)) relaxInPlace(value as Container, bytes, path);
  return value;
}

const SCOPE = '$scope';

function relaxReference(reference: DBRef, bytes: Uint8Array, path: Path): void {
  restoreNames(reference, bytes, path);
  if (isPlain(reference.oid)) relaxInPlace(reference.oid as unknown as Document, bytes, path);
  else reference.oid = relax(reference.oid, bytes, [...path, '$id']) as ObjectId;
  relaxInPlace(reference.fields as Document, bytes, path);
}

/** The class takes what precedes a dot in a collection's name for the database's. */
function restoreNames(reference: DBRef, bytes: Uint8Array, path: Path): void {
  reference.collection = textAt(bytes, [...path, '$ref']) ?? reference.collection;
  const database = textAt(bytes, [...path, '$db']);
  if (database === undefined) delete reference.db;
  else reference.db = database;
}

function membersOf(reference: DBRef, bytes: Uint8Array): Document {
  restoreNames(reference, bytes, []);
  const { collection, oid, db, fields } = reference;
  return { $ref: collection, $id: oid, ...(db !== undefined && { $db: db }), ...fields };
}

function writesAsInt32(value: number): boolean {
  return (
    Number.isInteger(value) && !Object.is(value, -0) && value >= INT32_MIN && value <= INT32_MAX
  );
}

function dateTimeAt(bytes: Uint8Array, path: Path): DateTime {
  const element = elementAt(bytes, path);
  if (element === undefined) throw new Error(`no date at ${path.join('.')}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + element.valueOffset, 8);
  return new DateTime(new Long(view.getInt32(0, true), view.getInt32(4, true)));
}

/** Puts a `Long`, as wide as a date, where a {@link DateTime} stands, and notes where. */
function liftDates(value: unknown, path: Path, found: Found[]): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof DateTime) {
    found.push({ path });
    return value.milliseconds;
  }
  if (Array.isArray(value)) {
    const before = found.length;
    const lifted = value.map((item, index) => liftDates(item, [...path, index], found));
    return found.length === before ? value : lifted;
  }
  if (!isPlain(value)) return value;
  const before = found.length;
  const lifted: Document = {};
  for (const [key, item] of Object.entries(value)) {
    setMember(lifted, key, liftDates(item, [...path, key], found));
  }
  return found.length === before ? value : lifted;
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return Array.isArray(value) || prototype === Object.prototype || prototype === null;
}

/** Assigns even `__proto__` as an own member: it is a legal key of a document. */
function setMember(target: Document, key: string, value: unknown): void {
  Object.defineProperty(target, key, {
    value,
    writable: true,
    enumerable: true,
    configurable: true,
  });
}
