/**
 * The scenes of crate `portolan-cadence` in JavaScript runtimes: each gives the lines that a native
 * runtime gave, which `PORTOLAN_CADENCE_LINES` has in a file per scene.
 */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { RUNTIMES } from './cadence-module.mjs';

const native = process.env.PORTOLAN_CADENCE_LINES;
const scenes = readdirSync(native).map((file) => file.replace(/\.txt$/, ''));

for (const { name, open } of RUNTIMES) {
  describe(name, { concurrency: true }, () => {
    let runtime;
    before(async () => void (runtime = await open()));
    after(() => runtime?.close());

    test('every scene was played natively', async () => {
      assert.deepEqual((await runtime.call('scenes')).split('\n').sort(), [...scenes].sort());
    });

    for (const scene of scenes) {
      test(`${scene}: the same sequence of engine actions`, async () => {
        const lines = (await runtime.call('play', scene)).split('\n');
        const wanted = readFileSync(join(native, `${scene}.txt`), 'utf8').split('\n');
        assert.ok(wanted.length > 100, 'a scene is long');
        assert.deepEqual(lines, wanted);
      });
    }
  });
}
