/**
 * The wasm module's surface (crate `portolan-web`) and how it is loaded, once.
 *
 * The types are written here by hand so that this package compiles before the wasm is built.
 */
import type { TopologySnapshot } from './connect.js';
import type { Host } from './platform.js';

/** What `portolan_web.js`, made by wasm-bindgen, exports. */
export interface WasmModule {
  default(options: { module_or_path?: WasmSource | undefined }): Promise<unknown>;
  initSync(options: { module: WebAssembly.Module }): unknown;
  WasmClient: {
    connect(
      uri: string,
      bridge: string | undefined,
      token: string | undefined,
      host: Host,
      onDemand: boolean,
      snapshot: TopologySnapshot | undefined,
      onEvent: (json: string) => void,
      saslprep: (password: string) => Promise<string>,
    ): Promise<WasmClient>;
  };
}

/** Where the wasm may come from when not from beside the script: an address, bytes, a module. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/** Documents are raw BSON in both directions; rejections are `ErrorFacts`. */
export interface WasmClient {
  topology(): string;
  snapshot(): string;
  warnings(): string[];
  ping(readPreference: Uint8Array, signal?: AbortSignal): Promise<string>;
  runCommand(
    db: string,
    command: Uint8Array,
    preference: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  find(
    db: string,
    collection: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<WasmCursor>;
  findOne(
    db: string,
    collection: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined>;
  insertOne(
    db: string,
    collection: string,
    document: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  insertMany(
    db: string,
    collection: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  update(
    db: string,
    collection: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  delete(
    db: string,
    collection: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  findOneAndModify(
    db: string,
    collection: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array | undefined>;
  distinct(
    db: string,
    collection: string,
    field: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Uint8Array>;
  aggregate(
    db: string,
    collection: string | undefined,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<WasmCursor>;
  estimatedDocumentCount(db: string, collection: string, signal?: AbortSignal): Promise<number>;
  countDocuments(
    db: string,
    collection: string,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<number>;
  close(): Promise<void>;
  free(): void;
}

export interface WasmCursor {
  /** The next document, or `undefined` at the end. */
  next(signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** The server that the documents come from. */
  address(): string;
  /** Drops the cursor; the server's cursor is killed. */
  free(): void;
}

let loading: Promise<WasmModule> | undefined;

/** Loads and starts the wasm module from what `source` says; later calls get the same one. */
export function loadWasm(source: () => Source | Promise<Source>): Promise<WasmModule> {
  loading ??= start(source).catch((failure: unknown) => {
    loading = undefined;
    throw failure;
  });
  return loading;
}

/** Where the module is; undefined: where its own script looks. */
type Source = WasmSource | undefined;

async function start(source: () => Source | Promise<Source>): Promise<WasmModule> {
  const [module, from] = await Promise.all([import('#wasm'), source()]);
  if (from instanceof WebAssembly.Module) module.initSync({ module: from });
  else await module.default({ module_or_path: from });
  return module;
}
