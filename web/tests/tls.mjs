/**
 * TLS of this package's own, on every runtime, to a real server: over plain sockets, and through a
 * bridge from Chromium. Every byte on the way to the server is recorded, and to the bridge.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { connect } from '../dist/node.js';
import { launch } from './browser.mjs';
import { startBridge } from './demo.mjs';
import { packagePage } from './package-page.mjs';
import { install } from './packed.mjs';
import { program } from './runtimes/programs.mjs';
import { record, startSecure } from './runtimes/secure.mjs';
import { serveWorker } from './runtimes/workerd.mjs';

const here = fileURLToPath(new URL('runtimes/', import.meta.url));
const DENO = ['run', '--quiet', '--allow-net', '--allow-read'];
const HOSTS = {
  'Node.js': () => script(process.execPath, []),
  Deno: () => script(program('deno'), DENO),
  Bun: () => script(program('bun'), []),
  workerd: () => worker(),
  Chromium: () => chromium(),
};
const chosen = process.env.PORTOLAN_HOSTS?.split(',') ?? Object.keys(HOSTS);
let project;
let secure;

before(async () => {
  project = install();
  secure = await startSecure();
  const uri = `mongodb://localhost:${secure.port}/?replicaSet=rs0`;
  const client = await connect({ uri });
  const roles = [{ role: 'root', db: 'admin' }];
  const user = { createUser: 'CN=client,OU=client,O=Portolan', roles };
  await client.db('$external').runCommand(user);
  await client.close();
});

after(async () => {
  await secure?.stop();
  project?.remove();
});

for (const host of chosen) {
  describe(host, () => {
    let runtime;
    before(async () => {
      runtime = await HOSTS[host]();
    });
    after(() => runtime?.close());

    const wires = () => (runtime.wire ? [secure.wire, runtime.wire] : [secure.wire]);
    const clear = () => wires().forEach((wire) => wire.clear());
    const passes = async (name, marker = 'unmarked') => {
      const { port, pem } = secure;
      const { ok, note } = await runtime.run(name, { port, pem, marker });
      assert.ok(ok, note);
    };

    test('without TLS the wire shows what is written, and no module of TLS is loaded', async () => {
      clear();
      await passes('plain', `open letter of ${host}`);
      for (const wire of wires()) assert.ok(wire.bytes().includes(`open letter of ${host}`));
      if (runtime.requests) assert.deepEqual(ofTls(runtime.requests), []);
    });

    for (const name of ['sealed', 'text']) {
      test(`with TLS the wire shows records alone: ${name}`, async () => {
        const marker = `sealed letter of ${host}, ${name}`;
        clear();
        await passes(name, marker);
        for (const wire of wires()) {
          const bytes = wire.bytes();
          assert.ok(!bytes.includes(marker));
          assert.ok(bytes.includes(Buffer.from([0x16, 0x03])), 'a handshake');
          assert.ok(bytes.includes(Buffer.from([0x17, 0x03, 0x03])), 'data of TLS');
          assert.ok(bytes.length > 600_000, 'both ways');
        }
        const { requests } = runtime;
        if (requests) assert.ok(ofTls(requests).some((url) => url.endsWith('.wasm')));
      });
    }

    for (const name of ['stranger', 'name', 'identity', 'nonsense']) test(name, () => passes(name));
  });
}

test('a worker that does not import the module is told to', async () => {
  const runtime = await worker('/without');
  try {
    const { port, pem } = secure;
    const { ok, note } = await runtime.run('sealed', { port, pem, marker: '' });
    assert.ok(!ok);
    assert.match(note, /import \{ tlsWasm \} from "portolan\/tls"/);
  } finally {
    await runtime.close();
  }
});

function ofTls(requests) {
  return requests.filter((url) => url.includes('portolan_tls'));
}

/** Node.js, Deno or Bun: a line of input is a case and what it is given. */
async function script(file, before) {
  for (const name of ['tls-main.mjs', 'tls-cases.mjs']) {
    copyFileSync(join(here, name), join(project.folder, name));
  }
  const words = [...before, join(project.folder, 'tls-main.mjs')];
  const child = spawn(file, words, { cwd: project.folder, stdio: ['pipe', 'pipe', 'inherit'] });
  const output = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const run = async (name, given) => {
    child.stdin.write(`${JSON.stringify({ name, given })}\n`);
    const { done, value } = await output.next();
    if (done) throw new Error(`${file} has ended`);
    return JSON.parse(value);
  };
  return { run, close: () => void child.kill('SIGKILL') };
}

async function worker(path = '/') {
  const served = await serveWorker(join(here, 'tls-worker.mjs'), { project: project.folder });
  const run = async (name, given) => {
    const body = JSON.stringify({ name, given: { ...given, isOnDemand: true } });
    const response = await fetch(new URL(path, served.url), { method: 'POST', body });
    if (response.ok) return response.json();
    return { ok: false, note: `${response.status} ${await response.text()}` };
  };
  return { run, close: served.close };
}

/** Through a bridge, whose own client speaks TLS to the server as well. */
async function chromium() {
  const own = `mongodb://localhost:${secure.port}/?tls=true&tlsCAFile=${secure.ca}`;
  const address = `127.0.0.1:${secure.port}`;
  const bridge = await startBridge(['--uri', own, '--allow-target', address]);
  const wire = await record(Number(new URL(bridge.url).port));
  const browser = await launch();
  const url = `http://127.0.0.1:${wire.port}/`;
  const page = await packagePage(browser, url, []);
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  const run = (name, given) =>
    page.evaluate(
      async ([one, all]) => {
        const { run: act } = await import('/npm-package/tests/runtimes/tls-cases.mjs');
        return act(one, window.portolan, all);
      },
      [name, { ...given, bridge: new URL('/tunnel', url).href }],
    );
  const close = async () => {
    await browser.close();
    wire.close();
    await bridge.stop();
  };
  return { run, close, requests, wire };
}
