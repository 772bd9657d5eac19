/**
 * The same cases on every runtime, against one real set of three members: a table runtime by case.
 *
 * The native ones run them by the Rust interface, the others by the npm package.
 *
 * `PORTOLAN_HOSTS` names some of the runtimes, for work on one. A cell that a platform cannot have is
 * in `REASONS`, with the platform's own documentation.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { connect } from '../dist/node.js';
import { install } from './packed.mjs';
import { CASES } from './runtimes/cases.mjs';
import { HOSTS } from './runtimes/hosts.mjs';
import { startSet, whole } from './runtimes/set.mjs';

/** `runtime: case`, and why it cannot be: none so far. */
const REASONS = {};

const chosen = process.env.PORTOLAN_HOSTS?.split(',') ?? Object.keys(HOSTS);
const table = new Map(chosen.map((name) => [name, new Map()]));
let set;
let watch;
let project;

before(async () => {
  project = install();
  set = await startSet();
  watch = await connect({ uri: set.addresses.uri });
});

after(async () => {
  await watch?.close();
  await set?.stop();
  project?.remove();
  print();
});

for (const host of chosen) {
  describe(host, () => {
    let runtime;
    before(async () => {
      const given = { project: project.folder, addresses: set.addresses, url: set.url };
      runtime = await HOSTS[host](given);
    });
    after(() => runtime?.close());

    for (const name of Object.keys(CASES)) {
      const reason = REASONS[`${host}: ${name}`];
      test(name, async () => {
        await whole(watch);
        const { ok, note } = await runtime.run(name);
        const as = ok ? 'ok' : 'FAILED';
        table.get(host).set(name, [reason === undefined ? as : 'cannot', note]);
        if (reason === undefined) assert.ok(ok, note);
        else assert.ok(!ok, `it can: strike ${host}: ${name} off the reasons`);
      });
    }
  });
}

function print() {
  const names = Object.keys(CASES);
  const width = Math.max(...names.map((name) => name.length));
  const line = (first, cells) =>
    console.log([first.padEnd(width), ...cells.map((cell, n) => cell.padEnd(chosen[n].length))].join('  '));
  line('', chosen);
  for (const name of names) line(name, chosen.map((host) => table.get(host).get(name)?.[0] ?? '-'));
  for (const [host, cells] of table) {
    const notes = [...cells].filter(([, [as, note]]) => as === 'ok' && note !== '');
    for (const [name, [, note]] of notes) console.log(`${host}, ${name}: ${note}`);
  }
  for (const [cell, reason] of Object.entries(REASONS)) console.log(`${cell} cannot be: ${reason}`);
}
