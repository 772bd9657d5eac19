/** What a runtime has of its own: its sockets, its DNS, and where it has the wasm from. */
import type { TlsSettings } from './tls.js';
import type { WasmSource } from './wasm.js';

/**
 * One connection: a pair of byte streams, as `cloudflare:sockets`, `Deno.connect` and WebTransport
 * have them.
 *
 * A chunk is read when it is wanted and not before: what the peer sends faster waits in `readable`,
 * whose queue should be short. A chunk is written when the one before was taken in.
 */
export interface ByteStreams {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  /** Ends both, at once. Called once; what it throws is ignored. */
  close(): unknown;
}

/**
 * Opens a connection, without TLS. `signal` says that nobody wants it any more; an implementation
 * that does not listen has what it opens closed when it comes.
 */
export type Connector = (host: string, port: number, signal: AbortSignal) => Promise<ByteStreams>;

/** A service location. */
export interface SrvRecord {
  host: string;
  port: number;
  /** Seconds that the answer may be kept, where that is known. */
  ttl?: number;
}

/** Looks up DNS records: texts for `TXT`. A name that does not exist has the code `ENOTFOUND`. */
export type Resolver = (name: string, kind: 'SRV' | 'TXT') => Promise<(SrvRecord | string)[]>;

/** What the core is given: the runtime's own, and what the application has in its place. */
export interface Host {
  readonly name: string;
  readonly connect?: Connector;
  readonly resolve?: Resolver;
  readonly tls: TlsSettings;
}

/** A runtime, as an entry of this package describes it. */
export interface Platform {
  /** As the server's log shows it. */
  readonly name: string;
  readonly connect?: Connector;
  readonly resolve?: Resolver;
  /** Where the wasm is; without it, beside this package's script, by `fetch`. */
  readonly wasm?: () => WasmSource | Promise<WasmSource>;
  /** The same for the module of TLS. */
  readonly tlsWasm?: () => WasmSource | Promise<WasmSource>;
}
