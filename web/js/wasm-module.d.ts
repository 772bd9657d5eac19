/** The generated module, declared so that TypeScript does not need it on disk. */
declare module '#wasm' {
  type WasmModule = import('./wasm.js').WasmModule;
  const init: WasmModule['default'];
  export default init;
  export const WasmClient: WasmModule['WasmClient'];
}
