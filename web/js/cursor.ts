/** The documents of a `find` or of a pipeline, read as they are asked for. */
import { type Document, decode } from './bson.js';
import { guarded } from './error.js';
import type { ReadPreference } from './read-preference.js';
import type { WasmCursor } from './wasm.js';

/** What every operation has. */
export interface OperationOptions {
  /**
   * Ends the operation early: it rejects with an {@link AbortError}, and its connection is closed if
   * a reply is under way. Whether the server has done what was asked is not known then.
   */
  signal?: AbortSignal;
}

/** As in every MongoDB driver; `signal` ends the whole cursor. */
export interface FindOptions extends OperationOptions {
  sort?: Record<string, 1 | -1 | Document>;
  limit?: number;
  skip?: number;
  projection?: Document;
  batchSize?: number;
  readPreference?: ReadPreference;
}

/** As in every MongoDB driver; `signal` ends the whole cursor. */
export interface AggregateOptions extends OperationOptions {
  batchSize?: number;
  /** Whether the server may write temporary files. */
  allowDiskUse?: boolean;
  readPreference?: ReadPreference;
}

/** Read it with `for await`, or all at once with {@link Cursor.toArray}. */
export class Cursor<T extends object = Document> implements AsyncIterable<T> {
  readonly #open: () => Promise<WasmCursor>;
  readonly #signal: AbortSignal | undefined;
  #cursor: Promise<WasmCursor> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #address: string | null = null;
  #closed = false;

  /** Made by {@link Collection.find} and `aggregate`. */
  constructor(open: () => Promise<WasmCursor>, signal: AbortSignal | undefined) {
    this.#open = open;
    this.#signal = signal;
  }

  /** The next document, or `null` after the last. */
  next(): Promise<T | null> {
    // One at a time: calls that overlap get their documents in the order of the calls.
    const turn = this.#turn.then(() => this.#next());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #next(): Promise<T | null> {
    return guarded(async () => {
      if (this.#closed) return null;
      this.#cursor ??= this.#open();
      const cursor = await this.#cursor;
      this.#address = cursor.address();
      const bytes = await cursor.next(this.#signal);
      if (bytes !== undefined) return decode(bytes) as T;
      await this.close();
      return null;
    });
  }

  /** The server that the documents come from; `null` before the first was asked for. */
  get address(): string | null {
    return this.#address;
  }

  /** Every remaining document. */
  async toArray(): Promise<T[]> {
    const documents: T[] = [];
    for await (const document of this) documents.push(document);
    return documents;
  }

  /** Ends the cursor here and on the server. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const cursor = await this.#cursor?.catch(() => undefined);
    cursor?.free();
  }

  /** `await using` ends the cursor. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    try {
      for (let document = await this.next(); document !== null; document = await this.next()) {
        yield document;
      }
    } finally {
      await this.close();
    }
  }
}
