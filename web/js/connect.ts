/** How a client is made: `connect` of each entry. */
import { Client } from './client.js';
import { guarded, toPortolanError } from './error.js';
import { EventFeed } from './feed.js';
import type { Connector, Host, Platform, Resolver } from './platform.js';
import { saslprep } from './saslprep.js';
import { type TlsOptions, tlsSettings } from './tls.js';
import { type WasmSource, loadWasm } from './wasm.js';

/** What `connect` needs. */
export interface ConnectOptions {
  /** The connection string, as every MongoDB driver reads it. */
  uri: string;
  /**
   * Where the bridge is: a WebSocket or HTTP address, or a path on the page's own origin. Without a
   * path, `/tunnel` is meant. Without a bridge, the runtime's own sockets are used.
   */
  bridge?: string | URL;
  /**
   * What the bridge is to know this client by, where it wants a token. It travels as a WebSocket
   * subprotocol, because a page can set no header there.
   */
  token?: string;
  /** Opens the connections, in place of the runtime's own sockets. */
  sockets?: Connector;
  /** Looks up what a `mongodb+srv` address names, in place of the runtime's own DNS (a browser asks the bridge). */
  dns?: Resolver;
  /** Connection string options, added to those of `uri` (and winning over them). */
  options?: Record<string, string | number | boolean>;
  /**
   * `background` (the default) watches the deployment all the time. `onDemand` does nothing between
   * operations, for runtimes where no socket and no timer may outlive a request.
   */
  monitoring?: 'background' | 'onDemand';
  /** What an earlier client has learned ({@link Client.snapshot}): the first operation needs no search. */
  snapshot?: TopologySnapshot | undefined;
  /**
   * TLS to the servers themselves: a bridge sees what is encrypted only. Without it, the connection
   * string decides (`tls=true`, `mongodb+srv`). Another wasm module does it, loaded where it is wanted.
   */
  tls?: boolean | TlsOptions;
  /** Where to load the wasm from, when not from beside this package's script. */
  wasm?: WasmSource;
  /** The same for the module of TLS. Workers must import it: `tlsWasm` of `portolan/tls`. */
  tlsWasm?: WasmSource | undefined;
}

/**
 * What a client has learned about its deployment: plain JSON, of one form per version. `connect`
 * refuses what another format's version has taken.
 */
export interface TopologySnapshot {
  readonly format: number;
  readonly [key: string]: unknown;
}

/**
 * `connect` on a runtime.
 *
 * What it returns starts a client: it loads the wasm and begins discovery, without waiting for any
 * server. It rejects when the connection string is wrong or the wasm cannot be loaded. A server or a
 * bridge that cannot be reached shows in the events and in the errors of operations.
 */
export function connectOn(platform: Platform): (options: ConnectOptions) => Promise<Client> {
  return (options) =>
    guarded(async () => {
      const host = hostOf(platform, options);
      const bridge = options.bridge === undefined ? undefined : tunnelAddress(options.bridge);
      const module = await loadWasm(() => options.wasm ?? platform.wasm?.());
      const feed = new EventFeed();
      const inner = await module.WasmClient.connect(
        withOptions(options.uri, options.options ?? {}),
        bridge,
        options.token,
        host,
        isOnDemand(options.monitoring),
        options.snapshot,
        (json) => feed.push(json),
        saslprep,
      );
      return new Client(inner, feed);
    });
}

function hostOf(platform: Platform, options: ConnectOptions): Host {
  const connect = options.sockets ?? platform.connect;
  if (connect === undefined && options.bridge === undefined) {
    throw wrong('this runtime has no sockets: say where a bridge is, or give `sockets`');
  }
  const resolve = options.dns ?? platform.resolve;
  const tls = tlsSettings(options.tls, () => options.tlsWasm ?? platform.tlsWasm?.());
  return { name: platform.name, ...(connect && { connect }), ...(resolve && { resolve }), tls };
}

function isOnDemand(monitoring: string = 'background'): boolean {
  if (monitoring === 'onDemand' || monitoring === 'background') return monitoring === 'onDemand';
  throw wrong(`monitoring is background or onDemand, not ${monitoring}`);
}

function wrong(message: string): Error {
  return toPortolanError({ kind: 'invalidArgument', message });
}

/** The WebSocket address of the tunnel behind `bridge`. */
export function tunnelAddress(bridge: string | URL, base = pageAddress()): string {
  let address: URL;
  try {
    address = new URL(bridge, base);
  } catch {
    throw wrong(`not a bridge: ${String(bridge)}`);
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
