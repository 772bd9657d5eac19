/** `portolan/tls` in workerd, which compiles no wasm but what a worker imports. */
import wasm from '../pkg/portolan_tls_bg.wasm';

import type { WasmSource } from './wasm.js';

export const tlsWasm: WasmSource | undefined = wasm;
