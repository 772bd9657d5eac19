/** workerd, serving one worker that uses the package. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { build } from 'esbuild';

import { program } from './programs.mjs';

/**
 * Bundles `entry` as wrangler would and serves it. It imports from the packages of the folder `project`
 * and those named by `alias`; `objects` are its Durable Objects as `{ BINDING: 'Class' }`, `texts` its
 * text bindings.
 */
export async function serveWorker(entry, { project, alias, objects = {}, texts = {} }) {
  const folder = mkdtempSync(join(tmpdir(), 'portolan-workerd-'));
  const wasm = await bundle(entry, { project, alias }, folder);
  writeFileSync(join(folder, 'config.capnp'), config(wasm, objects, texts));
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

/** Answers the names of the wasm, modules of their own, compiled when the worker is. */
async function bundle(entry, { project, alias }, folder) {
  const wasm = new Set();
  const compiled = {
    name: 'compiled-wasm',
    setup(build) {
      build.onResolve({ filter: /\.wasm$/ }, async ({ path, resolveDir, kind, pluginData }) => {
        if (pluginData === 'found') return undefined;
        const found = await build.resolve(path, { resolveDir, kind, pluginData: 'found' });
        wasm.add(found.path);
        return { path: `./${basename(found.path)}`, external: true };
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
    nodePaths: project === undefined ? [] : [join(project, 'node_modules')],
    alias: alias ?? {},
    plugins: [compiled],
    logLevel: 'error',
  });
  if (wasm.size === 0) throw new Error('the worker imports no wasm');
  for (const file of wasm) copyFileSync(file, join(folder, basename(file)));
  return [...wasm].map((file) => basename(file));
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

function config(wasm, objects, texts) {
  const quote = JSON.stringify;
  const modules = wasm.map((name) => `(name = ${quote(name)}, wasm = embed ${quote(name)}),`);
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
    ${modules.join('\n    ')}
  ],
  bindings = [${bindings.join(', ')}],
  durableObjectNamespaces = [${classes.join(', ')}],
  durableObjectStorage = (inMemory = void),
);
`;
}
