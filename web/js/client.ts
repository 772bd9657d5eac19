/** The client and its databases. */
import { type Document, decode, encode } from './bson.js';
import { Collection, aggregate } from './collection.js';
import type { TopologySnapshot } from './connect.js';
import type { AggregateOptions, Cursor, OperationOptions } from './cursor.js';
import { guarded } from './error.js';
import type { PortolanEvent, ServerType, TopologyDescription } from './event.js';
import type { EventFeed } from './feed.js';
import { type ReadPreference, readPreferenceDocument } from './read-preference.js';
import type { WasmClient } from './wasm.js';

/** How to run a command. */
export interface RunCommandOptions extends OperationOptions {
  readPreference?: ReadPreference;
}

/** How a ping went. */
export interface Ping {
  address: string;
  serverType: ServerType;
  /** From the command's first byte to the reply's last, in milliseconds. */
  durationMs: number;
}

/** A deployment, watched and usable until {@link Client.close}. */
export class Client {
  readonly #inner: WasmClient;
  readonly #feed: EventFeed;

  /** Made by `connect`. */
  constructor(inner: WasmClient, feed: EventFeed) {
    this.#inner = inner;
    this.#feed = feed;
  }

  /**
   * Calls `listener` with every event, in order. The first listener also gets those from the
   * beginning; the answer ends the subscription.
   */
  onEvent(listener: (event: PortolanEvent) => void): () => void {
    return this.#feed.subscribe(listener);
  }

  /** What the client believes about the deployment right now. */
  topology(): TopologyDescription {
    return JSON.parse(this.#inner.topology()) as TopologyDescription;
  }

  /** What was learned about the deployment, for the `snapshot` of a later `connect`. */
  snapshot(): TopologySnapshot {
    return JSON.parse(this.#inner.snapshot()) as TopologySnapshot;
  }

  /** Options of the connection string that this client does not know. */
  warnings(): string[] {
    return this.#inner.warnings();
  }

  /** A database by name. */
  db(name: string): Database {
    return new Database(this.#inner, name);
  }

  /** Selects a server and sends it a `ping`. */
  ping(readPreference: ReadPreference = 'primary', options: OperationOptions = {}): Promise<Ping> {
    return guarded(async () => {
      const request = encode({ readPreference: readPreferenceDocument(readPreference) });
      const json = await this.#inner.run('ping', 'admin', undefined, request, options.signal);
      return JSON.parse(json) as Ping;
    });
  }

  /** Closes every connection; the last event is `topologyClosed`. */
  close(): Promise<void> {
    return guarded(() => this.#inner.close());
  }

  /** `await using` closes the client and waits for it. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** `using` begins to close it. */
  [Symbol.dispose](): void {
    // Nobody is there to hear of a failure, and none is expected.
    this.close().catch(() => undefined);
  }
}

/** A database. */
export class Database {
  readonly #inner: WasmClient;
  /** Its name. */
  readonly name: string;

  /** Made by {@link Client.db}. */
  constructor(inner: WasmClient, name: string) {
    this.#inner = inner;
    this.name = name;
  }

  /** Runs any command and answers with the server's reply. */
  runCommand(command: object, options: RunCommandOptions = {}): Promise<Document> {
    return guarded(async () => {
      const readPreference = readPreferenceDocument(options.readPreference ?? 'primary');
      const request = encode({ command, readPreference });
      const { signal } = options;
      return decode(await this.#inner.run('runCommand', this.name, undefined, request, signal));
    });
  }

  /** The results of a pipeline over the database: `$currentOp`, `$documents`... */
  aggregate<R extends object = Document>(
    pipeline: readonly object[],
    options: AggregateOptions = {},
  ): Cursor<R> {
    return aggregate(this.#inner, this.name, undefined, pipeline, options);
  }

  /** A collection by name. */
  collection<T extends object = Document>(name: string): Collection<T> {
    return new Collection<T>(this.#inner, this.name, name);
  }
}

