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

/** What the operations give. */
export interface Results {
  aggregate: WasmCursor;
  countDocuments: number;
  delete: Uint8Array;
  distinct: Uint8Array;
  estimatedDocumentCount: number;
  find: WasmCursor;
  findOne: Uint8Array | undefined;
  findOneAndModify: Uint8Array | undefined;
  insertMany: Uint8Array;
  insertOne: Uint8Array;
  /** JSON text. */
  ping: string;
  runCommand: Uint8Array;
  update: Uint8Array;
}

/** Documents are raw BSON in both directions; rejections are `ErrorFacts`. */
export interface WasmClient {
  topology(): string;
  snapshot(): string;
  warnings(): string[];
  /** Runs an operation; what each wants stands in `run.rs`. */
  run<O extends keyof Results>(
    operation: O,
    db: string,
    collection: string | undefined,
    request: Uint8Array,
    signal?: AbortSignal,
  ): Promise<Results[O]>;
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
