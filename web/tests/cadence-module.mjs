/**
 * Crate `portolan-cadence` in each JavaScript runtime that plays its scenes.
 *
 * The wasm is behind wasm-bindgen (`--target web`), in the folder `PORTOLAN_CADENCE`. It needs
 * `performance.now()` and `setTimeout` of its runtime and nothing else: no network. A further
 * runtime is one more entry of `RUNTIMES`.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { launch } from './browser.mjs';
import { openHidden } from './hidden.mjs';
import { program } from './runtimes/programs.mjs';
import { serveWorker } from './runtimes/workerd.mjs';
import { serve } from './serve.mjs';

const PAGE = `<!doctype html><title>cadence</title><script>
  const waiting = new Map();
  let worker;
  function start() {
    worker = new Worker('./cadence-worker.mjs', { type: 'module' });
    worker.onmessage = ({ data }) => {
      const { done, failed } = waiting.get(data.id);
      return 'error' in data ? failed(new Error(data.error)) : done(data.value);
    };
    worker.onerror = (event) => waiting.forEach(({ failed }) => failed(new Error(event.message)));
  }
  window.inWorker = (call, given) => new Promise((done, failed) => {
    if (worker === undefined) start();
    const id = waiting.size;
    waiting.set(id, { done, failed });
    worker.postMessage({ id, call, arguments: given });
  });
  let loading;
  window.inPage = async (call, given) => {
    loading ??= import('./portolan_cadence.js');
    const cadence = await loading;
    await cadence.default();
    return cadence[call](...given);
  };
</script>`;

const here = fileURLToPath(new URL('.', import.meta.url));

/** Each opens its runtime: `call(name, ...arguments)` calls an export of the module there. */
export const RUNTIMES = [
  { name: 'Node.js', open: () => script(process.execPath, []) },
  { name: 'Deno', open: () => script(program('deno'), ['run', '--quiet', '--allow-read']) },
  { name: 'Bun', open: () => script(program('bun'), []) },
  { name: 'workerd object', open: durableObject },
  { name: 'Chromium worker', open: chromiumWorker },
  { name: 'hidden, worker', open: () => hidden('inWorker') },
  { name: 'hidden, page', open: () => hidden('inPage') },
];

async function script(file, before) {
  const words = [...before, resolve(here, 'cadence-script.mjs'), folder()];
  const child = spawn(file, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map();
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, value, error } = JSON.parse(line);
    const { done, failed } = waiting.get(id);
    return error === undefined ? done(value) : failed(new Error(error));
  });
  child.once('exit', (code) => {
    for (const { failed } of waiting.values()) failed(new Error(`${file} ended with ${code}`));
  });
  const call = (name, ...given) =>
    new Promise((done, failed) => {
      const id = waiting.size;
      waiting.set(id, { done, failed });
      child.stdin.write(`${JSON.stringify({ id, call: name, arguments: given })}\n`);
    });
  const close = async () => {
    const ended = once(child, 'exit');
    child.stdin.end();
    await ended;
  };
  return { call, close };
}

async function durableObject() {
  const served = await serveWorker(resolve(here, 'cadence-object.mjs'), {
    alias: { cadence: folder() },
    objects: { OBJECT: 'Player' },
  });
  const call = async (name, ...given) => {
    const body = JSON.stringify({ call: name, arguments: given });
    const response = await fetch(served.url, { method: 'POST', body });
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  };
  return { call, close: served.close };
}

async function chromiumWorker() {
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

/** Behind another tab: timers of a page then fire once a second at most, those of workers do not. */
async function hidden(where) {
  const server = await serve(PAGE, [folder(), here]);
  try {
    const page = await openHidden(server.url);
    const call = async (name, ...given) => {
      const value = await page.call(`window.${where}(${JSON.stringify(name)}, ${JSON.stringify(given)})`);
      if ((await page.call('document.visibilityState')) !== 'hidden') throw new Error('it was seen');
      return value;
    };
    const close = async () => {
      await page.close();
      server.close();
    };
    return { call, close };
  } catch (error) {
    server.close();
    throw error;
  }
}

function folder() {
  if (!process.env.PORTOLAN_CADENCE) throw new Error('set PORTOLAN_CADENCE to the module\'s folder');
  return resolve(process.env.PORTOLAN_CADENCE);
}
