/** A collection and its operations. */
import { type Document, decode, encode } from './bson.js';
import { FindCursor, type FindOptions, type OperationOptions } from './cursor.js';
import { guarded } from './error.js';
import { type ReadPreference, readPreferenceDocument } from './read-preference.js';
import type { WasmClient } from './wasm.js';

export interface InsertOneResult {
  insertedId: unknown;
}
export interface InsertManyResult {
  /** By the position in the input. */
  insertedIds: Record<number, unknown>;
}
export interface UpdateResult {
  matchedCount: number;
  modifiedCount: number;
  upsertedId: unknown;
}
export interface DeleteResult {
  deletedCount: number;
}
export interface CountOptions extends OperationOptions {
  limit?: number;
  skip?: number;
  readPreference?: ReadPreference;
}

export interface UpdateOptions extends OperationOptions {
  /** Whether to insert a document when none matches. */
  upsert?: boolean;
}

/** A collection; `T` is the shape of its documents. */
export class Collection<T extends object = Document> {
  readonly #inner: WasmClient;
  readonly #db: string;
  /** Its name, without the database. */
  readonly name: string;

  /** Made by {@link Database.collection}. */
  constructor(inner: WasmClient, db: string, name: string) {
    this.#inner = inner;
    this.#db = db;
    this.name = name;
  }

  /** The documents that match; nothing is sent before the cursor is read. */
  find(filter: object = {}, options: FindOptions = {}): FindCursor<T> {
    const request = findRequest(filter, options);
    return new FindCursor<T>(this.#inner, this.#db, this.name, request, options.signal);
  }

  /** The first document that matches, or `null`. */
  findOne(filter: object = {}, options: FindOptions = {}): Promise<T | null> {
    return guarded(async () => {
      const request = findRequest(filter, options);
      const bytes = await this.#inner.findOne(this.#db, this.name, request, options.signal);
      return bytes === undefined ? null : (decode(bytes) as T);
    });
  }

  /** Inserts one document; an `_id` is made when it has none. */
  insertOne(document: T, options: OperationOptions = {}): Promise<InsertOneResult> {
    return guarded(async () => {
      const bytes = encode(document);
      const reply = await this.#inner.insertOne(this.#db, this.name, bytes, options.signal);
      return decode(reply) as unknown as InsertOneResult;
    });
  }

  /** Inserts documents in order; stops at the first failure. */
  insertMany(
    documents: readonly T[],
    options: OperationOptions = {},
  ): Promise<InsertManyResult> {
    return guarded(async () => {
      const request = encode({ documents });
      const reply = await this.#inner.insertMany(this.#db, this.name, request, options.signal);
      const ids = decode(reply)['insertedIds'] as unknown[];
      return { insertedIds: Object.fromEntries(ids.entries()) };
    });
  }

  /** Updates the first document that matches. */
  updateOne(
    filter: object,
    update: object | object[],
    options: UpdateOptions = {},
  ): Promise<UpdateResult> {
    return guarded(async () => {
      const request = encode({ filter, update, upsert: options.upsert });
      const reply = await this.#inner.updateOne(this.#db, this.name, request, options.signal);
      return counts(decode(reply)) as unknown as UpdateResult;
    });
  }

  /** Deletes the first document that matches. */
  deleteOne(filter: object, options: OperationOptions = {}): Promise<DeleteResult> {
    return guarded(async () => {
      const request = encode({ filter });
      const reply = await this.#inner.deleteOne(this.#db, this.name, request, options.signal);
      return counts(decode(reply)) as unknown as DeleteResult;
    });
  }

  /** How many documents match. */
  countDocuments(filter: object = {}, options: CountOptions = {}): Promise<number> {
    return guarded(() => {
      const request = findRequest(filter, options);
      return this.#inner.countDocuments(this.#db, this.name, request, options.signal);
    });
  }
}

function findRequest(filter: object, options: FindOptions): Uint8Array {
  const { readPreference, signal: _, ...rest } = options;
  const preference =
    readPreference === undefined ? undefined : readPreferenceDocument(readPreference);
  return encode({ ...rest, filter, readPreference: preference });
}

/** Counts cross the border as int64 and are numbers here: none exceeds 2^53. */
function counts(reply: Document): Document {
  for (const [key, value] of Object.entries(reply)) {
    if (key.endsWith('Count')) reply[key] = Number(value);
  }
  return reply;
}
