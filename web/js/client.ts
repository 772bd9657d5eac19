/** `connect`, the client and its databases. */
import { type Document, decode, encode } from './bson.js';
import { Collection } from './collection.js';
import { guarded, toPortolanError } from './error.js';
import type { PortolanEvent, ServerType, TopologyDescription } from './event.js';
import { EventFeed } from './feed.js';
import { type ReadPreference, readPreferenceDocument } from './read-preference.js';
import { type WasmClient, type WasmSource, loadWasm } from './wasm.js';

/** What {@link connect} needs. */
export interface ConnectOptions {
  /**
   * Where the bridge is: a WebSocket or HTTP address, or a path on the page's own origin. Without a
   * path, `/tunnel` is meant.
   */
  bridge: string | URL;
  /** The connection string, as every MongoDB driver reads it. */
  uri: string;
  /** Connection string options, added to those of `uri` (and winning over them). */
  options?: Record<string, string | number | boolean>;
  /** Where to load the wasm from, when not from beside this package's script. */
  wasm?: WasmSource;
}

/** How a ping went. */
export interface Ping {
  address: string;
  serverType: ServerType;
  /** From the command's first byte to the reply's last, in milliseconds. */
  durationMs: number;
}

/**
 * Starts a client: loads the wasm and begins discovery, without waiting for any server.
 *
 * Rejects when the connection string is wrong or the wasm cannot be loaded. A server or a bridge that
 * cannot be reached shows in the events and in the errors of operations.
 */
export function connect(options: ConnectOptions): Promise<Client> {
  return guarded(async () => {
    const module = await loadWasm(options.wasm);
    const feed = new EventFeed();
    const uri = withOptions(options.uri, options.options ?? {});
    const inner = module.WasmClient.connect(tunnelAddress(options.bridge), uri, (json) =>
      feed.push(json),
    );
    return new Client(inner, feed);
  });
}

/** A deployment, watched and usable until {@link Client.close}. */
export class Client {
  readonly #inner: WasmClient;
  readonly #feed: EventFeed;

  /** Made by {@link connect}. */
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

  /** Options of the connection string that this client does not know. */
  warnings(): string[] {
    return this.#inner.warnings();
  }

  /** A database by name. */
  db(name: string): Database {
    return new Database(this.#inner, name);
  }

  /** Selects a server and sends it a `ping`. */
  ping(readPreference: ReadPreference = 'primary'): Promise<Ping> {
    return guarded(async () => {
      const preference = encode(readPreferenceDocument(readPreference));
      const json = await this.#inner.ping(preference);
      return JSON.parse(json) as Ping;
    });
  }

  /** Closes every connection; the last event is `topologyClosed`. */
  close(): Promise<void> {
    return guarded(() => this.#inner.close());
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
  runCommand(
    command: object,
    options: { readPreference?: ReadPreference } = {},
  ): Promise<Document> {
    return guarded(async () => {
      const preference = encode(readPreferenceDocument(options.readPreference ?? 'primary'));
      return decode(await this.#inner.runCommand(this.name, encode(command), preference));
    });
  }

  /** A collection by name. */
  collection<T extends object = Document>(name: string): Collection<T> {
    return new Collection<T>(this.#inner, this.name, name);
  }
}

/** The WebSocket address of the tunnel behind `bridge`. */
export function tunnelAddress(bridge: string | URL, base = pageAddress()): string {
  let address: URL;
  try {
    address = new URL(bridge, base);
  } catch {
    throw toPortolanError({ kind: 'invalidArgument', message: `not a bridge: ${String(bridge)}` });
  }
  if (address.protocol === 'http:') address.protocol = 'ws:';
  if (address.protocol === 'https:') address.protocol = 'wss:';
  if (address.pathname === '/') address.pathname = '/tunnel';
  return address.href;
}

function pageAddress(): string | undefined {
  return typeof location === 'undefined' ? undefined : location.href;
}

/** `uri` with `options` as connection string options; one already there is replaced. */
export function withOptions(
  uri: string,
  options: Record<string, string | number | boolean>,
): string {
  const entries = Object.entries(options);
  if (entries.length === 0) return uri;
  const [location = '', query = ''] = uri.split('?', 2);
  const replaced = new Set(entries.map(([key]) => key.toLowerCase()));
  const kept = query.split('&').filter((pair) => {
    const key = pair.split('=', 1)[0]?.toLowerCase() ?? '';
    return key !== '' && !replaced.has(key);
  });
  const added = entries.map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`);
  // The `/` that parts hosts from options may be missing in `mongodb://host`.
  const hosts = location.slice(location.indexOf('://') + 3);
  const slash = hosts.includes('/') ? '' : '/';
  return `${location}${slash}?${[...kept, ...added].join('&')}`;
}
