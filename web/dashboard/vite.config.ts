import { defineConfig } from 'vite';

export default defineConfig({
  // Relative addresses: the bridge may be mounted anywhere.
  base: './',
  build: {
    target: 'es2022',
    // The wasm stays a file of its own: streaming compilation needs one.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  server: { host: '127.0.0.1', fs: { allow: ['..'] } },
});
