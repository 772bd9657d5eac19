/** TLS: what an application says of it, and its wasm module (crate `portolan-web-tls`), loaded when needed. */
import type { WasmSource } from './wasm.js';

/** Whom to trust, and who the client is. */
export interface TlsOptions {
  /**
   * The certificates of the authorities to trust, and no others, as text in PEM form. By default those
   * of Mozilla's list.
   */
  ca?: string;
  /** The client's certificate, with those that lead to its authority, and its private key, in PEM form. */
  certificateKey?: string;
  /** Accept any certificate. Anybody can read and change what is sent: for tests only. */
  allowInvalidCertificates?: boolean;
  /** Accept a certificate of another host. For tests only. */
  allowInvalidHostnames?: boolean;
}

/** What the core reads before a connection is made. */
export interface TlsSettings extends TlsOptions {
  readonly enabled?: boolean;
  /** Called where connections are to use TLS, and not otherwise. */
  load(): Promise<TlsFactory>;
}

/** Makes what the connections of one client share. */
export interface TlsFactory {
  configure(...options: TlsConfigArguments): TlsConfig;
}

/** `ca`, `certificateKey`, the names of files in their place, and the checks that are left out. */
type TlsConfigArguments = [
  ca: string | undefined,
  certificateKey: string | undefined,
  caFile: string | undefined,
  certificateKeyFile: string | undefined,
  allowInvalidCertificates: boolean,
  allowInvalidHostnames: boolean,
];

/** Begins sessions; of no interest to JavaScript beyond that. */
export interface TlsConfig {
  session(host: string): unknown;
}

/** What `portolan_tls.js`, made by wasm-bindgen, exports. */
export interface TlsModule {
  default(options: { module_or_path?: WasmSource | undefined }): Promise<unknown>;
  initSync(options: { module: WebAssembly.Module }): unknown;
  TlsConfig: new (...options: TlsConfigArguments) => TlsConfig;
}

/** Where the module is; undefined: where its own script looks. */
type Source = () => WasmSource | undefined | Promise<WasmSource | undefined>;

/** `tls` of `connect`, for the core; the module comes from `source`. */
export function tlsSettings(tls: boolean | TlsOptions | undefined, source: Source): TlsSettings {
  const load = (): Promise<TlsFactory> => loadTls(source);
  if (typeof tls === 'object') return { enabled: true, ...tls, load };
  return tls === undefined ? { load } : { enabled: tls, load };
}

let loading: Promise<TlsFactory> | undefined;

function loadTls(source: Source): Promise<TlsFactory> {
  loading ??= start(source).catch((failure: unknown) => {
    loading = undefined;
    throw failure;
  });
  return loading;
}

async function start(source: Source): Promise<TlsFactory> {
  // Where it is comes first: a runtime that cannot have it says so.
  const from = await source();
  const module = await import('#tls');
  if (from instanceof WebAssembly.Module) module.initSync({ module: from });
  else await module.default({ module_or_path: from });
  return { configure: (...options) => new module.TlsConfig(...options) };
}
