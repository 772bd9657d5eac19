/**
 * Crate `portolan-cadence` in each JavaScript runtime that plays its scenes.
 *
 * The wasm is behind wasm-bindgen (`--target web`), in the folder `PORTOLAN_CADENCE`. It needs
 * `performance.now()` and `setTimeout` of its runtime and nothing else: no network. A further
 * runtime is one more entry of `RUNTIMES`.
 */
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { launch } from './browser.mjs';
import { serve } from './serve.mjs';

const PAGE = `<!doctype html><title>cadence</title><script>
  const worker = new Worker('./cadence-worker.mjs', { type: 'module' });
  const waiting = new Map();
  worker.onmessage = ({ data }) => {
    const { done, failed } = waiting.get(data.id);
    return 'error' in data ? failed(new Error(data.error)) : done(data.value);
  };
  worker.onerror = (event) => waiting.forEach(({ failed }) => failed(new Error(event.message)));
  window.inWorker = (call, given) => new Promise((done, failed) => {
    const id = waiting.size;
    waiting.set(id, { done, failed });
    worker.postMessage({ id, call, arguments: given });
  });
</script>`;

/** Each opens its runtime: `call(name, ...arguments)` calls an export of the module there. */
export const RUNTIMES = [{ name: 'Chromium worker', open: chromiumWorker }];

async function chromiumWorker() {
  const here = fileURLToPath(new URL('.', import.meta.url));
  const server = await serve(PAGE, [folder(), here]);
  const browser = await launch();
  const close = async () => {
    await browser.close();
    server.close();
  };
  try {
    const page = await browser.newPage();
    await page.goto(server.url);
    const inWorker = ([name, given]) => window.inWorker(name, given);
    return { call: (name, ...given) => page.evaluate(inWorker, [name, given]), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function folder() {
  if (!process.env.PORTOLAN_CADENCE) throw new Error('set PORTOLAN_CADENCE to the module\'s folder');
  return resolve(process.env.PORTOLAN_CADENCE);
}
