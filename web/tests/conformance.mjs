/**
 * The specification's JSON tests against the engine as wasm, in Chromium.
 *
 * The wasm is crate `portolan-conformance` behind wasm-bindgen (`--target web`), in the folder
 * `PORTOLAN_CONFORMANCE`, else `web/tests/wasm`. It exports `run(path, json)`, which answers
 * `undefined` when the file passes and the reason when it fails (`path` is the file's path below the
 * specifications' `source`), and `suites()`, the folders to run with the number of files in each.
 * The files are listed here at run time, never vendored.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import { launch } from './browser.mjs';
import { serve } from './serve.mjs';
import { specifications } from './specifications.mjs';

const PAGE = `<!doctype html><title>conformance</title><script type="module">
  import init, { run, suites } from './portolan_conformance.js';
  window.ready = init().then(() => Object.assign(window, { run, suites }));
</script>`;

const source = specifications();
const wasm = resolve(
  process.env.PORTOLAN_CONFORMANCE ?? fileURLToPath(new URL('./wasm', import.meta.url)),
);
const server = await serve(PAGE, [wasm]);
const browser = await launch();
let failures = 0;
try {
  failures = await runAll(server.url);
} finally {
  await browser.close();
  server.close();
}
process.exitCode = failures === 0 ? 0 : 1;

async function runAll(url) {
  const page = await browser.newPage();
  await open(page, url);
  let failed = 0;
  for (const { folder, files: least } of JSON.parse(await page.evaluate(() => window.suites()))) {
    const files = jsonFiles(join(source, folder));
    if (files.length < least) throw new Error(`${folder}: ${files.length} files, not ${least}`);
    const reasons = [];
    for (const file of files) {
      const reason = await runOne(page, url, file);
      if (reason !== undefined) reasons.push(`${relative(source, file)}: ${reason}`);
    }
    failed += reasons.length;
    for (const reason of reasons) console.log(`FAILED ${reason}`);
    console.log(`${folder}:`);
    console.log(`${files.length - reasons.length} passed, ${reasons.length} failed`);
  }
  return failed;
}

/** Undefined, or why the file failed. A trap ends the instance: the next file gets a new page. */
async function runOne(page, url, file) {
  const path = relative(source, file).split(sep).join('/');
  try {
    const text = readFileSync(file, 'utf8');
    return await page.evaluate(([name, json]) => window.run(name, json), [path, text]);
  } catch (trap) {
    await open(page, url);
    return `trapped: ${trap.message.split('\n', 1)[0]}`;
  }
}

async function open(page, url) {
  await page.goto(url);
  await page.waitForFunction(() => window.ready !== undefined);
  await page.evaluate(async () => void (await window.ready));
}

function jsonFiles(folder) {
  return readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.json'))
    .map((name) => join(folder, name))
    .sort();
}
