/**
 * The wasm module's surface (crate `portolan-web`) and how it is loaded, once.
 *
 * The types are written here by hand so that this package compiles before the wasm is built.
 */

/** What `portolan_web.js`, made by wasm-bindgen, exports. */
export interface WasmModule {
  default(options: { module_or_path?: WasmSource | undefined }): Promise<unknown>;
  WasmClient: { connect(bridge: string, uri: string, onEvent: (json: string) => void): WasmClient };
}

/** Where the wasm may come from when not from beside the script: an address, bytes, a module. */
export type WasmSource = string | URL | Request | Response | BufferSource | WebAssembly.Module;

/** Documents are raw BSON in both directions; rejections are `ErrorFacts`. */
export interface WasmClient {
  topology(): string;
  warnings(): string[];
  ping(readPreference: Uint8Array): Promise<string>;
  runCommand(db: string, command: Uint8Array, preference: Uint8Array): Promise<Uint8Array>;
  find(db: string, collection: string, request: Uint8Array): Promise<WasmCursor>;
  findOne(db: string, collection: string, request: Uint8Array): Promise<Uint8Array | undefined>;
  insertOne(db: string, collection: string, document: Uint8Array): Promise<Uint8Array>;
  insertMany(db: string, collection: string, request: Uint8Array): Promise<Uint8Array>;
  updateOne(db: string, collection: string, request: Uint8Array): Promise<Uint8Array>;
  deleteOne(db: string, collection: string, request: Uint8Array): Promise<Uint8Array>;
  countDocuments(db: string, collection: string, request: Uint8Array): Promise<number>;
  close(): Promise<void>;
  free(): void;
}

export interface WasmCursor {
  /** The next document, or `undefined` at the end. */
  next(): Promise<Uint8Array | undefined>;
  /** The server that the documents come from. */
  address(): string;
  /** Drops the cursor; the server's cursor is killed. */
  free(): void;
}

let loading: Promise<WasmModule> | undefined;

/** Loads and starts the wasm module; later calls get the same one. */
export function loadWasm(source: WasmSource | undefined): Promise<WasmModule> {
  loading ??= start(source).catch((failure: unknown) => {
    loading = undefined;
    throw failure;
  });
  return loading;
}

async function start(source: WasmSource | undefined): Promise<WasmModule> {
  const module: WasmModule = await import('#wasm');
  await module.default({ module_or_path: source });
  return module;
}
