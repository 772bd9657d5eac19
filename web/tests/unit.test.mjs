/** BSON corpus, byte for byte, and the small pure parts of the npm package. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { DateTime, Double, Long, ObjectId, decode, encode } from '../dist/bson.js';
import { tunnelAddress, withOptions } from '../dist/connect.js';
import { AbortError, PortolanError, SelectionError, ServerError, toPortolanError } from '../dist/error.js';
import { EventFeed } from '../dist/feed.js';
import { specifications } from './specifications.mjs';

/** Files whose documents JavaScript objects cannot carry unchanged, each with the reason. */
const EXCEPTIONS = {
  'dbpointer.json': 'deprecated; the bson package reads a DBPointer as a DBRef',
  'undefined.json': 'deprecated; undefined is not written',
  'multi-type-deprecated.json': 'holds a DBPointer and an undefined',
};

const corpus = join(specifications(), 'bson-corpus', 'tests');
const files = readdirSync(corpus).filter((file) => file.endsWith('.json')).sort();
assert.ok(files.length >= 25, `only ${files.length} files in ${corpus}`);

for (const file of files) {
  const suite = JSON.parse(readFileSync(join(corpus, file), 'utf8'));
  for (const { description, canonical_bson: hex } of suite.valid ?? []) {
    const reason = EXCEPTIONS[file];
    const title = reason === undefined ? description : `${description} is not kept: ${reason}`;
    test(`corpus ${file}: ${title}`, () => {
      const back = Buffer.from(encode(decode(Buffer.from(hex, 'hex')))).toString('hex');
      if (reason === undefined) assert.equal(back, hex.toLowerCase());
      else assert.notEqual(back, hex.toLowerCase(), 'it is kept: strike it off the exceptions');
    });
  }
  for (const { description, bson: hex } of suite.decodeErrors ?? []) {
    test(`corpus ${file}, must not decode: ${description}`, () => {
      assert.throws(() => decode(Buffer.from(hex, 'hex')));
    });
  }
}

test('numbers become plain where they go back unchanged', () => {
  const values = { whole: new Double(3), half: new Double(0.5), big: new Double(3e9), zero: -0 };
  const back = decode(encode(values));
  assert.ok(back.whole instanceof Double);
  assert.equal(back.half, 0.5);
  assert.equal(back.big, 3e9);
  assert.ok(Object.is(back.zero, -0));
  assert.deepEqual(encode(back), encode(values));
});

test('a bigint goes in and a Long comes out', () => {
  assert.deepEqual(decode(encode({ n: 9007199254740993n })), {
    n: Long.fromString('9007199254740993'),
  });
});

test('dates outside the range of Date survive, wherever they stand', () => {
  const late = new DateTime(Long.MAX_VALUE);
  const document = { a: [{ b: late }, new Date(0)], _id: new ObjectId(), z: late };
  const bytes = encode(document);
  const back = decode(bytes);
  assert.equal(back.a[0].b.milliseconds.toString(), '9223372036854775807');
  assert.deepEqual(back.a[1], new Date(0));
  assert.deepEqual(Buffer.from(encode(back)), Buffer.from(bytes));
});

test('more than a document may have is written all the same: a batch of them may', () => {
  const filler = 'z'.repeat(12_000_000);
  const back = decode(encode({ documents: [{ filler }, { filler, last: 1 }] }));
  assert.equal(back.documents[1].filler.length, filler.length);
  assert.equal(back.documents[1].last, 1);
});

test('what cannot be written is an error of kind bson', () => {
  const circle = {};
  circle.circle = circle;
  assert.throws(() => encode(circle), (error) => error.kind === 'bson');
});

test('a key named __proto__ is a key', () => {
  const document = JSON.parse('{"__proto__": {"x": 1}}');
  assert.deepEqual(decode(encode(document)), document);
});

test('options are added to a connection string', () => {
  assert.equal(withOptions('mongodb://a,b', { w: 1 }), 'mongodb://a,b/?w=1');
  assert.equal(
    withOptions('mongodb://a/db?replicaSet=x&W=2', { w: 'majority' }),
    'mongodb://a/db?replicaSet=x&w=majority',
  );
});

test('a bridge may be given in several ways', () => {
  assert.equal(tunnelAddress('http://127.0.0.1:80/'), 'ws://127.0.0.1/tunnel');
  assert.equal(tunnelAddress('wss://h/other'), 'wss://h/other');
  assert.equal(tunnelAddress('/tunnel', 'https://h:1/page'), 'wss://h:1/tunnel');
  assert.throws(() => tunnelAddress('nonsense', undefined), PortolanError);
});

test('errors keep kind, code and labels', () => {
  const error = toPortolanError({ message: 'no', kind: 'command', code: 11000, labels: ['L'] });
  assert.ok(error instanceof ServerError && error instanceof PortolanError);
  assert.ok(error instanceof Error && error.stack.includes('unit.test'));
  assert.equal(error.name, 'ServerError');
  assert.equal(error.code, 11000);
  assert.ok(error.hasLabel('L'));
  assert.deepEqual(error.reasons, []);
});

test('a selection error has its reasons, an aborted operation its cause', () => {
  const reasons = [{ address: 'a:1', type: 'Unknown', suitable: false, reason: 'unknown' }];
  const selection = toPortolanError({ message: 'none', kind: 'serverSelection', reasons });
  assert.ok(selection instanceof SelectionError);
  assert.deepEqual(selection.reasons, reasons);
  const cause = new Error('enough');
  const aborted = toPortolanError({ message: 'ended', kind: 'aborted', cause });
  assert.ok(aborted instanceof AbortError && aborted.name === 'AbortError');
  assert.equal(aborted.cause, cause);
});

test('a kind of a later version is an error all the same', () => {
  const error = toPortolanError({ message: 'new', kind: 'unheardOf' });
  assert.equal(error.constructor, PortolanError);
  assert.equal(error.kind, 'unheardOf');
});

test('values of another copy of the bson package are written as they are', async () => {
  const other = await import(`${import.meta.resolve('bson')}?another-copy`);
  assert.notEqual(other.ObjectId, ObjectId);
  const id = new other.ObjectId('0123456789abcdef01234567');
  const document = {
    _id: id,
    long: other.Long.fromString('9007199254740993'),
    decimal: other.Decimal128.fromString('1.10'),
    double: new other.Double(3),
    binary: new other.Binary(new Uint8Array([1, 2]), 0x80),
    code: new other.Code('f', { x: new other.Int32(1) }),
    timestamp: new other.Timestamp({ t: 5, i: 6 }),
    list: [new other.MinKey(), new other.MaxKey(), new other.BSONRegExp('a', 'i')],
  };
  assert.deepEqual(Buffer.from(encode(document)), Buffer.from(other.serialize(document)));
  assert.ok(decode(encode(document))._id instanceof ObjectId);
});

test('the first listener hears everything, in order', () => {
  const feed = new EventFeed();
  feed.push('{"kind":"topologyOpening"}');
  const heard = [];
  const stop = feed.subscribe((event) => heard.push(event.kind));
  feed.push('{"kind":"serverOpening"}');
  stop();
  feed.push('{"kind":"topologyClosed"}');
  assert.deepEqual(heard, ['topologyOpening', 'serverOpening']);
});
