/**
 * The npm package beside the official Node.js driver: bytes that are loaded, round trips to the first
 * result, and the time of a login's key. Started by `cargo xtask bench javascript`, which gives it
 * servers.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { MongoClient } from 'mongodb';

import { build } from '../../../web/node_modules/esbuild/lib/main.js';
import { launch } from '../../../web/tests/browser.mjs';
import { serve } from '../../../web/tests/serve.mjs';
import { connect } from '../../../web/dist/node.js';

const web = fileURLToPath(new URL('../../../web/', import.meta.url));
const here = fileURLToPath(new URL('.', import.meta.url));
const { ROUNDS, ROUND_TRIP_MS } = process.env;

await sizes();
await roundTrips();
await logins();

async function sizes() {
  const official = await bundle(`export { MongoClient } from 'mongodb';`, here, 'node');
  const script = await bundle(`export { connect } from './dist/index.js';`, web, 'browser');
  const wasm = await readFile(join(web, 'pkg/portolan_web_bg.wasm'));
  table('bytes that are loaded, minified and compressed by gzip -9', ['', 'KB', 'to reach'], [
    ['official Node.js driver, bundled', kilo(official)],
    ['portolan: wasm', kilo(wasm), 220],
    ['portolan: script, with the BSON package', kilo(script)],
    ['portolan: both', kilo(wasm) + kilo(script)],
  ]);
}

async function bundle(contents, resolveDir, platform) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform,
    splitting: true,
    outdir: 'out',
    metafile: true,
    logLevel: 'error',
    // Optional parts of the official driver, and what loads by itself where it is wanted.
    external: ['@mongodb-js/*', 'kerberos', 'snappy', 'socks', 'mongodb-client-encryption',
      '@aws-sdk/*', 'gcp-metadata', '@mongodb-js/zstd', '@mongodb-js/saslprep'],
  });
  return Buffer.concat(outputFiles.map(({ contents: bytes }) => Buffer.from(bytes)));
}

function kilo(bytes) {
  return Math.round(gzipSync(bytes, { level: 9 }).length / 1000);
}

async function roundTrips() {
  const { PLAIN_FAR, SCRAM_FAR, PLAIN, SCRAM, BRIDGE_FAR: bridge } = process.env;
  const warm = await connect({ uri: PLAIN, bridge });
  await warm.ping();
  const rows = [];
  const measured = [
    ['official, direct', official, PLAIN_FAR, SCRAM_FAR],
    ['portolan, direct', (uri) => ours({ uri }), PLAIN_FAR, SCRAM_FAR],
    ['portolan, over a warm bridge', (uri) => ours({ uri, bridge }), PLAIN, SCRAM, 2, 3],
  ];
  for (const [name, run, plain, scram, ...goals] of measured) {
    const [without, withScram] = [await trips(run, plain), await trips(run, scram)];
    rows.push([name, without.toFixed(2), withScram.toFixed(2), goals.join(' and ')]);
  }
  await warm.close();
  const head = ['', 'no authentication', 'SCRAM-SHA-256', 'to reach'];
  table('round trips from a new client to the first result', head, rows);
}

async function official(uri) {
  const client = new MongoClient(uri);
  await client.db('admin').command({ ping: 1 });
  return () => client.close();
}

async function ours(options) {
  const client = await connect(options);
  await client.db('admin').runCommand({ ping: 1 });
  return () => client.close();
}

/** The median of the time to a result, in round trips. */
async function trips(run, uri) {
  const times = [];
  for (let round = 0; round < Number(ROUNDS); round += 1) {
    const began = performance.now();
    const close = await run(uri);
    times.push((performance.now() - began) / Number(ROUND_TRIP_MS));
    await close();
  }
  return median(times);
}

/** In Chromium: 15,000 rounds of SCRAM-SHA-256 by the wasm, and by the browser's own cryptography. */
async function logins() {
  const page = `<!doctype html><title>logins</title><script type="module">
    import init, { derive } from './portolan_conformance.js';
    window.ready = init().then(() => { window.derive = derive; });
  </script>`;
  const server = await serve(page, [process.env.PORTOLAN_CONFORMANCE]);
  const browser = await launch();
  try {
    const tab = await browser.newPage();
    await tab.goto(server.url);
    const [own, subtle] = await tab.evaluate(timeLogins, 21);
    table('15,000 rounds of SCRAM-SHA-256 in Chromium, median', ['', 'ms', 'to reach'], [
      ['SubtleCrypto, which portolan uses where the page may', subtle.toFixed(1), 7],
      ['portolan without it (a page over plain HTTP)', own.toFixed(1)],
    ]);
  } finally {
    await browser.close();
    server.close();
  }
}

/** Runs in the page. */
async function timeLogins(rounds) {
  await window.ready;
  const salt = Uint8Array.from({ length: 28 }, (_, index) => index);
  const password = new TextEncoder().encode('secret');
  const key = await crypto.subtle.importKey('raw', password, 'PBKDF2', false, ['deriveBits']);
  const parameters = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations: 15_000 };
  const times = [[], []];
  for (let round = 0; round < rounds; round += 1) {
    const began = performance.now();
    window.derive('secret', salt, 15_000);
    const middle = performance.now();
    await crypto.subtle.deriveBits(parameters, key, 256);
    times[0].push(middle - began);
    times[1].push(performance.now() - middle);
  }
  return times.map((list) => list.sort((left, right) => left - right)[list.length >> 1]);
}

function median(list) {
  return list.sort((left, right) => left - right)[list.length >> 1];
}

function table(title, head, rows) {
  console.log(`\n${title}`);
  const cells = [head, ...rows.map((row) => head.map((_, index) => String(row[index] ?? '')))];
  const widths = head.map((_, index) => Math.max(...cells.map((row) => row[index].length)));
  for (const row of cells) console.log(row.map((cell, index) => cell.padEnd(widths[index])).join('  '));
}
