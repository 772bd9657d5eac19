/** What is published: one wasm and one of TLS, an entry for each runtime, and types that hold. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

import { build } from 'esbuild';

import { install } from './packed.mjs';

const web = fileURLToPath(new URL('..', import.meta.url));
const project = install();
after(project.remove);

test('there is one wasm in it and one of TLS, and no file that nobody needs', () => {
  const wasm = project.files.filter((file) => file.endsWith('.wasm'));
  assert.deepEqual(wasm.sort(), ['pkg/portolan_tls_bg.wasm', 'pkg/portolan_web_bg.wasm']);
  assert.deepEqual(
    project.files.filter((file) => !/^(dist|pkg)\/[\w.-]+\.(js|d\.ts|wasm)$/.test(file)).sort(),
    ['README.md', 'package.json'],
  );
});

test('what a page loads has not grown', async () => {
  const wasm = readFileSync(join(web, 'pkg/portolan_web_bg.wasm'));
  // A compiler that cannot leave the texts of panics out makes a larger module.
  const budget = wasm.includes('internal error: entered unreachable code') ? 493_000 : 262_000;
  const size = gzipSync(wasm, { level: 9 }).length;
  assert.ok(size <= budget, `the wasm has ${size} bytes, compressed, of ${budget}`);
  const tls = gzipSync(readFileSync(join(web, 'pkg/portolan_tls_bg.wasm')), { level: 9 }).length;
  assert.ok(tls <= 320_000, `the wasm of TLS has ${tls} bytes, compressed`);
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export { connect } from 'portolan';`, resolveDir: project.folder },
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    metafile: true,
    format: 'esm',
    outdir: join(project.folder, 'out'),
    absWorkingDir: project.folder,
    conditions: ['browser'],
    external: ['@mongodb-js/saslprep'],
  });
  const isOfTls = ({ path }) => {
    const { inputs } = metafile.outputs[relative(project.folder, path)];
    return Object.keys(inputs).some((name) => name.endsWith('pkg/portolan_tls.js'));
  };
  assert.equal(outputFiles.filter(isOfTls).length, 1, 'a script of its own, loaded with TLS');
  const loaded = outputFiles.filter((file) => !isOfTls(file));
  const sizes = loaded.map(({ contents }) => gzipSync(contents, { level: 9 }).length);
  const script = sizes.reduce((sum, one) => sum + one, 0);
  assert.ok(script <= 33_000, `the script has ${script} bytes, compressed`);
});

const ENTRIES = { workerd: 'workerd', deno: 'deno', node: 'node', browser: 'index', default: 'index' };

for (const [condition, entry] of Object.entries(ENTRIES)) {
  test(`the condition ${condition} leads to its entry, which exports what the others do`, async () => {
    const result = await bundle(`export * from 'portolan';`, condition);
    const inputs = Object.keys(result.metafile.inputs).filter((name) => name.includes('portolan/dist'));
    assert.ok(inputs.some((name) => name.endsWith(`dist/${entry}.js`)), inputs.join(' '));
    const others = ['workerd', 'deno', 'node'].filter((other) => other !== entry);
    for (const other of others) assert.ok(!inputs.some((name) => name.endsWith(`dist/${other}.js`)));
    const [{ exports }] = Object.values(result.metafile.outputs);
    for (const name of ['connect', 'Client', 'PortolanError', 'ObjectId', 'Long']) {
      assert.ok(exports.includes(name), `${name} is missing`);
    }
  });
}

test('for workerd the wasm is an import, so that it is compiled once and never fetched', async () => {
  const result = await bundle(`export { connect } from 'portolan';`, 'workerd');
  const [{ imports }] = Object.values(result.metafile.outputs);
  const wasm = imports.filter(({ path }) => path.endsWith('.wasm'));
  assert.equal(wasm.length, 1);
});

test('the typed example compiles, and its mistakes do not', () => {
  const tsc = join(web, 'node_modules/.bin/tsc');
  execFileSync(tsc, ['-p', join(web, 'tests/tsconfig.json'), '--noEmit'], { stdio: 'inherit' });
  const text = readFileSync(join(web, 'tests/typed.ts'), 'utf8');
  assert.ok(text.split('@ts-expect-error').length > 5);
});

function bundle(contents, condition) {
  return build({
    stdin: { contents, resolveDir: project.folder },
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    outfile: join(project.folder, 'out.js'),
    platform: condition === 'node' ? 'node' : 'neutral',
    mainFields: ['module', 'main'],
    conditions: condition === 'default' ? [] : [condition],
    external: ['*.wasm', 'cloudflare:*', 'node:*'],
    logLevel: 'error',
  });
}
