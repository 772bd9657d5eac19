/** The programs in `web/examples`, each on its runtime, against a real set. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { launch, openPage } from './browser.mjs';
import { install } from './packed.mjs';
import { program } from './runtimes/programs.mjs';
import { startSet } from './runtimes/set.mjs';
import { serveWorker } from './runtimes/workerd.mjs';
import { serve } from './serve.mjs';

const examples = fileURLToPath(new URL('../examples/', import.meta.url));
const LINES = 40;
const LIMIT = { timeout: 60_000, killSignal: 'SIGKILL' };

let project;
let pages;
let set;
let uri;

before(async () => {
  project = install();
  for (const name of readdirSync(examples)) copyFileSync(join(examples, name), join(project.folder, name));
  pages = await serve('', [project.folder]);
  set = await startSet('--allow-origin', new URL(pages.url).origin);
  ({ uri } = set.addresses);
});

after(async () => {
  pages?.close();
  await set?.stop();
  project?.remove();
});

test('each is short, and named in the README', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  for (const name of readdirSync(examples)) {
    const lines = readFileSync(join(examples, name), 'utf8').trimEnd().split('\n').length;
    assert.ok(lines < LINES, `${name} has ${lines} lines`);
    assert.ok(readme.includes(`examples/${name}`), `${name} is not in the README`);
  }
});

const SCRIPTS = {
  'node.mjs': { file: () => process.execPath, words: [], says: 'from Node.js' },
  'deno.ts': {
    file: () => program('deno'),
    words: ['run', '--quiet', '--check', '--allow-net', '--allow-read'],
    says: 'from Deno',
  },
  'bun.ts': { file: () => program('bun'), words: [], says: 'from Bun' },
};

for (const [name, { file, words, says }] of Object.entries(SCRIPTS)) {
  test(`${name} writes, reads and ends by itself`, async () => {
    const given = [...words, name, uri];
    const options = { cwd: project.folder, ...LIMIT };
    const { stdout, stderr } = await promisify(execFile)(file(), given, options);
    assert.ok(stdout.split('\n').includes(says), `${stdout}${stderr}`);
    assert.equal(stderr, '');
  });
}

test('node.mjs says of each server why there is none', async () => {
  const wrong = 'mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200';
  const failed = promisify(execFile)(process.execPath, ['node.mjs', wrong], {
    cwd: project.folder,
    ...LIMIT,
  });
  await assert.rejects(failed, ({ code, stderr }) => code === 1 && /127\.0\.0\.1:1 .*REFUSED/.test(stderr));
});

test('worker.mjs answers requests on demand, and watches in a Durable Object', async () => {
  const worker = await serveWorker(join(project.folder, 'worker.mjs'), {
    project: project.folder,
    objects: { WATCHER: 'Watcher' },
    texts: { URI: uri },
  });
  try {
    const ask = async (path) => (await fetch(new URL(path, worker.url))).json();
    const page = `/page${Date.now()}`;
    assert.deepEqual(await ask(page), { _id: page, count: 1, warm: false });
    assert.deepEqual(await ask(page), { _id: page, count: 2, warm: true });
    const many = await Promise.all(Array.from({ length: 20 }, () => ask(page)));
    assert.equal(Math.max(...many.map(({ count }) => count)), 22);
    const seen = await ask('/watch');
    assert.equal(seen.topologyType, 'ReplicaSetWithPrimary');
    // It learns of what no request has met: they all go to the primary.
    const { address } = seen.servers.find(({ type }) => type !== 'RSPrimary');
    await fetch(`${set.addresses.control}?action=kill&address=${address}`);
    const type = async () => (await ask('/watch')).servers.find((one) => one.address === address).type;
    const deadline = Date.now() + 20_000;
    while ((await type()) !== 'Unknown') assert.ok(Date.now() < deadline, 'it does not watch');
  } finally {
    await worker.close();
  }
});

test('page.html writes and reads through the bridge', async () => {
  const browser = await launch();
  try {
    const complaints = [];
    const address = new URL('page.html', pages.url);
    address.searchParams.set('bridge', set.url);
    address.searchParams.set('uri', uri);
    const page = await openPage(browser, address.href, complaints);
    await page.waitForFunction(() => /:\d+$/.test(document.querySelector('#primary').textContent));
    await page.fill('input', 'from a page');
    await page.getByRole('button').click();
    await page.getByText('from a page').waitFor();
    // The page has no icon.
    assert.deepEqual(complaints.filter((text) => !text.includes('404')), []);
  } finally {
    await browser.close();
  }
});
