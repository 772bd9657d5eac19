/** A collection and its operations. */
import { type Document, decode, encode } from './bson.js';
import { type AggregateOptions, Cursor, type FindOptions, type OperationOptions } from './cursor.js';
import { guarded, toPortolanError } from './error.js';
import { type ReadPreference, readPreferenceDocument } from './read-preference.js';
import type { Results, WasmClient } from './wasm.js';

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

export interface DistinctOptions extends OperationOptions {
  readPreference?: ReadPreference;
}

export interface ReplaceOptions extends OperationOptions {
  /** Whether to insert a document when none matches. */
  upsert?: boolean;
}

export interface UpdateOptions extends ReplaceOptions {
  /** Which elements of arrays are changed. */
  arrayFilters?: Document[];
}

export interface FindOneAndDeleteOptions extends OperationOptions {
  sort?: Record<string, 1 | -1 | Document>;
  projection?: Document;
}

export interface FindOneAndReplaceOptions extends FindOneAndDeleteOptions {
  /** Whether to insert a document when none matches. */
  upsert?: boolean;
  /** Which of the two documents is given; by default the one before the change. */
  returnDocument?: 'before' | 'after';
}

export interface FindOneAndUpdateOptions extends FindOneAndReplaceOptions {
  /** Which elements of arrays are changed. */
  arrayFilters?: Document[];
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
  find(filter: object = {}, options: FindOptions = {}): Cursor<T> {
    const request = findRequest(filter, options);
    const { signal } = options;
    return new Cursor<T>(() => this.#run('find', request, signal), signal);
  }

  /** The results of a pipeline over the collection; nothing is sent before the cursor is read. */
  aggregate<R extends object = Document>(
    pipeline: readonly object[],
    options: AggregateOptions = {},
  ): Cursor<R> {
    return aggregate(this.#inner, this.#db, this.name, pipeline, options);
  }

  /** The first document that matches, or `null`. */
  findOne(filter: object = {}, options: FindOptions = {}): Promise<T | null> {
    return guarded(async () => {
      const request = findRequest(filter, options);
      const bytes = await this.#run('findOne', request, options.signal);
      return bytes === undefined ? null : (decode(bytes) as T);
    });
  }

  /** Inserts one document; an `_id` is made when it has none. */
  insertOne(document: T, options: OperationOptions = {}): Promise<InsertOneResult> {
    return guarded(async () => {
      const bytes = encode(document);
      const reply = await this.#run('insertOne', bytes, options.signal);
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
      const reply = await this.#run('insertMany', request, options.signal);
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
    return this.#update({ ...options, filter, update });
  }

  /** Updates all documents that match. */
  updateMany(
    filter: object,
    update: object | object[],
    options: UpdateOptions = {},
  ): Promise<UpdateResult> {
    return this.#update({ ...options, filter, update, many: true });
  }

  /** Puts `replacement` in the place of the first document that matches; the `_id` stays. */
  replaceOne(
    filter: object,
    replacement: T,
    options: ReplaceOptions = {},
  ): Promise<UpdateResult> {
    return this.#update({ ...options, filter, replacement });
  }

  /** Deletes the first document that matches. */
  deleteOne(filter: object, options: OperationOptions = {}): Promise<DeleteResult> {
    return this.#delete({ ...options, filter });
  }

  /** Deletes all documents that match. */
  deleteMany(filter: object, options: OperationOptions = {}): Promise<DeleteResult> {
    return this.#delete({ ...options, filter, many: true });
  }

  /** Deletes the first document that matches, and gives it; `null` where none does. */
  findOneAndDelete(filter: object, options: FindOneAndDeleteOptions = {}): Promise<T | null> {
    return this.#findOneAndModify({ ...options, filter });
  }

  /** Replaces the first document that matches, and gives it; `null` where none does. */
  findOneAndReplace(
    filter: object,
    replacement: T,
    options: FindOneAndReplaceOptions = {},
  ): Promise<T | null> {
    return this.#findOneAndModify({ ...options, filter, replacement });
  }

  /** Updates the first document that matches, and gives it; `null` where none does. */
  findOneAndUpdate(
    filter: object,
    update: object | object[],
    options: FindOneAndUpdateOptions = {},
  ): Promise<T | null> {
    return this.#findOneAndModify({ ...options, filter, update });
  }

  /** The values that a field has in the documents that match. */
  distinct(field: string, filter: object = {}, options: DistinctOptions = {}): Promise<unknown[]> {
    return guarded(async () => {
      const request = findRequest(filter, options, field);
      const reply = await this.#run('distinct', request, options.signal);
      return decode(reply)['values'] as unknown[];
    });
  }

  /** How many documents there are by the collection's metadata: quick, and not exact. */
  estimatedDocumentCount(options: OperationOptions = {}): Promise<number> {
    return guarded(() => {
      return this.#run('estimatedDocumentCount', encode({}), options.signal);
    });
  }

  /** How many documents match. */
  countDocuments(filter: object = {}, options: CountOptions = {}): Promise<number> {
    return guarded(() => {
      const request = findRequest(filter, options);
      return this.#run('countDocuments', request, options.signal);
    });
  }

  #run<O extends keyof Results>(
    operation: O,
    request: Uint8Array,
    signal: AbortSignal | undefined,
  ): Promise<Results[O]> {
    return this.#inner.run(operation, this.#db, this.name, request, signal);
  }

  #update({ signal, ...request }: Request): Promise<UpdateResult> {
    return guarded(async () => {
      const reply = await this.#run('update', encode(request), signal);
      return counts(decode(reply)) as unknown as UpdateResult;
    });
  }

  #delete({ signal, ...request }: Request): Promise<DeleteResult> {
    return guarded(async () => {
      const reply = await this.#run('delete', encode(request), signal);
      return counts(decode(reply)) as unknown as DeleteResult;
    });
  }

  #findOneAndModify({ signal, returnDocument, ...request }: Request): Promise<T | null> {
    return guarded(async () => {
      const bytes = encode({ ...request, after: isAfter(returnDocument) });
      const found = await this.#run('findOneAndModify', bytes, signal);
      return found === undefined ? null : (decode(found) as T);
    });
  }
}

/** What crosses the border, but for the signal. */
type Request = Document & FindOneAndReplaceOptions;

/** The results of a pipeline over a collection, or over a database. */
export function aggregate<R extends object>(
  inner: WasmClient,
  db: string,
  collection: string | undefined,
  pipeline: readonly object[],
  options: AggregateOptions,
): Cursor<R> {
  const { readPreference, signal, ...rest } = options;
  const request = encode({ ...rest, pipeline, readPreference: preferenceOf(readPreference) });
  return new Cursor<R>(() => inner.run('aggregate', db, collection, request, signal), signal);
}

function preferenceOf(readPreference: ReadPreference | undefined): object | undefined {
  return readPreference === undefined ? undefined : readPreferenceDocument(readPreference);
}

function isAfter(returnDocument: string = 'before'): boolean {
  if (returnDocument === 'after' || returnDocument === 'before') return returnDocument === 'after';
  const message = `returnDocument is before or after, not ${returnDocument}`;
  throw toPortolanError({ kind: 'invalidArgument', message });
}

function findRequest(filter: object, options: FindOptions, key?: string): Uint8Array {
  const { readPreference, signal: _, ...rest } = options;
  return encode({ ...rest, key, filter, readPreference: preferenceOf(readPreference) });
}

/** Counts cross the border as int64 and are numbers here: none exceeds 2^53. */
function counts(reply: Document): Document {
  for (const [key, value] of Object.entries(reply)) {
    if (key.endsWith('Count')) reply[key] = Number(value);
  }
  return reply;
}
