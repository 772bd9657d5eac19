/** The inputs that fuzzing found, and those that a person would try first, of BSON in JavaScript. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import { bson } from '../../tests/fuzz/javascript/property.mjs';

const kept = new URL('../../tests/fuzz/regressions/bson_js/', import.meta.url);
const names = readdirSync(kept).sort();
assert.ok(names.length >= 20);

for (const name of names) {
  test(`fuzzed ${name}`, () => bson(new Uint8Array(readFileSync(new URL(name, kept)))));
}
