/** The generated module, declared so that TypeScript does not need it on disk. */
declare module '#wasm' {
  type WasmModule = import('./wasm.js').WasmModule;
  const init: WasmModule['default'];
  export default init;
  export const initSync: WasmModule['initSync'];
  export const WasmClient: WasmModule['WasmClient'];
}

/** The same for the module of TLS. */
declare module '#tls' {
  type TlsModule = import('./tls.js').TlsModule;
  const init: TlsModule['default'];
  export default init;
  export const initSync: TlsModule['initSync'];
  export const TlsConfig: TlsModule['TlsConfig'];
}

/** The wasm itself, where the runtime imports it as a compiled module. */
declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
