/**
 * `portolan/tls`: where the module of TLS must be imported, this has it; elsewhere `connect` finds it.
 *
 * So that one text does for all runtimes: `connect({ uri, tls: true, tlsWasm })`.
 */
import type { WasmSource } from './wasm.js';

export const tlsWasm: WasmSource | undefined = undefined;
