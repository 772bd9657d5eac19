/** workerd, serving one worker that uses the package. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { build } from 'esbuild';

import { program } from './programs.mjs';

const WASM = 'portolan_web_bg.wasm';

/**
 * Bundles `entry` as wrangler would, with the package of `project`, and serves it; `objects` are its
 * Durable Objects as `{ BINDING: 'Class' }`, `texts` its text bindings.
 */
export async function serveWorker(entry, project, { objects = {}, texts = {} } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'portolan-workerd-'));
  await bundle(entry, project, folder);
  writeFileSync(join(folder, 'config.capnp'), config(objects, texts));
  const child = spawn(
    program('workerd'),
    ['serve', join(folder, 'config.capnp'), '--socket-addr', 'http=127.0.0.1:0', '--control-fd=3'],
    { stdio: ['ignore', 'inherit', 'inherit', 'pipe'] },
  );
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    return { url: `http://127.0.0.1:${await port(child)}`, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function bundle(entry, project, folder) {
  let wasm;
  const compiled = {
    name: 'compiled-wasm',
    setup({ onResolve }) {
      onResolve({ filter: /\.wasm$/ }, ({ path, resolveDir }) => {
        wasm = join(resolveDir, path);
        return { path: `./${WASM}`, external: true };
      });
    },
  };
  await build({
    entryPoints: [entry],
    bundle: true,
    format: 'esm',
    outfile: join(folder, 'worker.mjs'),
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*'],
    nodePaths: [join(project, 'node_modules')],
    plugins: [compiled],
    logLevel: 'error',
  });
  if (wasm === undefined) throw new Error('the worker imports no wasm');
  copyFileSync(wasm, join(folder, WASM));
}

function port(child) {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdio[3].setEncoding('utf8').on('data', (chunk) => {
      text += chunk;
      const line = text.split('\n').find((one) => one.includes('"listen"') && one.endsWith('}'));
      if (line !== undefined) resolve(JSON.parse(line).port);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`workerd ended with ${code}`)));
  });
}

function config(objects, texts) {
  const quote = JSON.stringify;
  const bindings = [
    ...Object.entries(objects).map(
      ([name, type]) => `(name = ${quote(name)}, durableObjectNamespace = ${quote(type)})`,
    ),
    ...Object.entries(texts).map(([name, text]) => `(name = ${quote(name)}, text = ${quote(text)})`),
  ];
  const classes = Object.values(objects).map(
    (type) => `(className = ${quote(type)}, uniqueKey = ${quote(type)}, preventEviction = true)`,
  );
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .worker),
    # Servers on loopback are private addresses.
    (name = "internet", network = (allow = ["private", "public"])),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "2025-09-01",
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "${WASM}", wasm = embed "${WASM}"),
  ],
  bindings = [${bindings.join(', ')}],
  durableObjectNamespaces = [${classes.join(', ')}],
  durableObjectStorage = (inMemory = void),
);
`;
}
