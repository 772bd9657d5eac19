/**
 * Each runtime as a column of the table: `start(given)` answers `run(case)` and `close()`.
 *
 * `given` is `{ project, addresses, url }`: the installed package, the set, and its bridge.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { launch } from '../browser.mjs';
import { built } from '../demo.mjs';
import { packagePage } from '../package-page.mjs';
import { program } from './programs.mjs';
import { serveWorker } from './workerd.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const DENO = ['run', '--quiet', '--allow-net', '--allow-read'];

/** By name, in the order of the table. */
export const HOSTS = {
  'async-std': (given) => native(given, 'async-std'),
  smol: (given) => native(given, 'smol'),
  tokio: (given) => native(given, 'tokio'),
  'Node.js': (given) => script(given, process.execPath, []),
  Deno: (given) => script(given, program('deno'), DENO),
  Bun: (given) => script(given, program('bun'), []),
  'workerd object': (given) => worker(given, '/object', { isOnDemand: false }),
  'workerd fetch': (given) => worker(given, '/fetch', { isOnDemand: true }),
  Chromium: (given) => chromium(given),
};

/** The same cases by the Rust interface: crate `portolan-runtimes`. */
function native({ addresses }, runtime) {
  const file = built('portolan-cases');
  return lines(file, [runtime, JSON.stringify(addresses)], {});
}

function script({ project, addresses }, file, before) {
  for (const name of ['main.mjs', 'cases.mjs']) copyFileSync(join(here, name), join(project, name));
  const words = [...before, join(project, 'main.mjs'), JSON.stringify(addresses)];
  return lines(file, words, { cwd: project });
}

/** A program that reads the names of cases and answers a line for each. */
function lines(file, words, options) {
  const child = spawn(file, words, { ...options, stdio: ['pipe', 'pipe', 'inherit'] });
  const output = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const run = async (name) => {
    child.stdin.write(`${name}\n`);
    const { done, value } = await output.next();
    if (done) throw new Error(`${file} has ended`);
    return JSON.parse(value);
  };
  const close = async () => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
    child.stdin.end();
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(late);
    // A client that leaves a timer or a socket behind keeps its program from ending.
    if (child.signalCode !== null) throw new Error(`${file} did not end by itself`);
  };
  return { run, close };
}

async function worker({ project, addresses }, path, more) {
  const served = await serveWorker(join(here, 'worker.mjs'), { project, objects: { OBJECT: 'Runner' } });
  const run = async (name) => {
    const body = JSON.stringify({ name, addresses: { ...addresses, ...more } });
    const response = await fetch(new URL(path, served.url), { method: 'POST', body });
    if (response.ok) return response.json();
    return { ok: false, note: `${response.status} ${await response.text()}` };
  };
  return { run, close: served.close };
}

async function chromium({ addresses, url }) {
  const browser = await launch();
  try {
    const page = await packagePage(browser, url, []);
    const cases = '/npm-package/tests/runtimes/cases.mjs';
    const bridge = new URL('/tunnel', url).href;
    const given = { cases, addresses: { ...addresses, bridge } };
    const run = (name) =>
      page.evaluate(
        async ([one, { cases: module, addresses: all }]) =>
          (await import(module)).run(one, window.portolan, all),
        [name, given],
      );
    return { run, close: () => browser.close() };
  } catch (error) {
    await browser.close();
    throw error;
  }
}
