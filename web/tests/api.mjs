/** The npm package in a page, through the bridge, against a real replica set. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { launch } from './browser.mjs';
import { startBridge, startDemo } from './demo.mjs';
import { packagePage } from './package-page.mjs';

const complaints = [];
let demo;
let browser;
let page;

before(async () => {
  demo = await startDemo();
  browser = await launch();
  page = await packagePage(browser, demo.url, complaints);
  await page.evaluate(async () => {
    const { uri, tunnel } = await (await fetch('/config.json')).json();
    const client = await window.portolan.connect({ bridge: tunnel, uri });
    window.events = [];
    client.onEvent((event) => window.events.push(event));
    Object.assign(window, { client, uri, tunnel });
    window.fresh = () => client.db('package').collection(`c${Date.now()}${Math.random()}`);
  });
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

test('the first events are heard, in order', async () => {
  await page.waitForFunction(
    () => window.client.topology().topologyType === 'ReplicaSetWithPrimary',
  );
  const events = await page.evaluate(() => window.events);
  assert.equal(events[0].kind, 'topologyOpening');
  assert.ok(events.some(({ kind }) => kind === 'serverHeartbeatSucceeded'));
  for (const event of events) {
    assert.equal(typeof event.t_ms, 'number');
    assert.match(event.topologyId, /^[0-9a-f]{24}$/);
  }
  const changed = events.find(({ kind }) => kind === 'topologyDescriptionChanged');
  assert.ok(Array.isArray(changed.newDescription.servers));
});

test('ping names the server and takes time', async () => {
  const ping = await page.evaluate(() => window.client.ping('secondary'));
  assert.equal(ping.serverType, 'RSSecondary');
  assert.match(ping.address, /:\d+$/);
  assert.ok(ping.durationMs > 0);
});

test('commands are answered with documents', async () => {
  const hello = await page.evaluate(async () => {
    const reply = await window.client.db('admin').runCommand({ hello: 1 });
    return { isWritablePrimary: reply.isWritablePrimary, setName: reply.setName };
  });
  assert.equal(hello.isWritablePrimary, true);
  assert.equal(typeof hello.setName, 'string');
});

test('documents are written, read, counted, changed and deleted', async () => {
  const seen = await page.evaluate(async () => {
    const collection = window.fresh();
    const one = await collection.insertOne({ n: 0 });
    const many = await collection.insertMany([{ n: 1 }, { _id: 'mine', n: 2 }]);
    const count = await collection.countDocuments({ n: { $gte: 1 } });
    const updated = await collection.updateOne({ n: 1 }, { $set: { n: 10 } });
    const upserted = await collection.updateOne({ n: 99 }, { $set: { x: 1 } }, { upsert: true });
    const deleted = await collection.deleteOne({ n: 0 });
    const found = await collection
      .find({}, { sort: { n: -1 }, skip: 1, limit: 1, projection: { n: 1, _id: 0 } })
      .toArray();
    return {
      id: one.insertedId.constructor.name,
      second: many.insertedIds[1],
      count,
      updated,
      upserted: upserted.upsertedId.constructor.name,
      deleted,
      found,
      nothing: await collection.findOne({ n: 'none' }),
    };
  });
  assert.deepEqual(seen, {
    id: 'ObjectId',
    second: 'mine',
    count: 2,
    updated: { matchedCount: 1, modifiedCount: 1, upsertedId: null },
    upserted: 'ObjectId',
    deleted: { deletedCount: 1 },
    found: [{ n: 10 }],
    nothing: null,
  });
});

test('many documents are changed, replaced and deleted, and one is given', async () => {
  const seen = await page.evaluate(async () => {
    const collection = window.fresh();
    await collection.insertMany([1, 2, 3, 4].map((n) => ({ _id: n, n, list: [n, 10 * n] })));
    const after = { returnDocument: 'after', sort: { n: -1 }, projection: { n: 1, _id: 0 } };
    return {
      many: await collection.updateMany({ n: { $gt: 2 } }, { $inc: { n: 10 } }),
      pipeline: await collection.updateMany({}, [{ $set: { twice: { $multiply: ['$n', 2] } } }]),
      filtered: await collection.updateOne({ _id: 1 }, { $set: { 'list.$[big]': 0 } }, {
        arrayFilters: [{ big: { $gte: 10 } }],
      }),
      list: (await collection.findOne({ _id: 1 })).list,
      replaced: await collection.replaceOne({ _id: 2 }, { n: 'two' }),
      upserted: await collection.replaceOne({ _id: 9 }, { n: 9 }, { upsert: true }),
      before: await collection.findOneAndUpdate({ _id: 2 }, { $set: { n: 'zwei' } }),
      after: await collection.findOneAndUpdate({ n: { $gt: 0 } }, { $inc: { n: 1 } }, after),
      put: await collection.findOneAndReplace({ _id: 2 }, { n: 'deux' }, { returnDocument: 'after' }),
      taken: await collection.findOneAndDelete({ _id: 2 }),
      none: await collection.findOneAndDelete({ _id: 2 }),
      distinct: (await collection.distinct('n', { n: { $lt: 12 } })).sort((a, b) => a - b),
      estimated: await collection.estimatedDocumentCount(),
      deleted: await collection.deleteMany({ n: { $gt: 2 } }),
      wrong: await collection
        .findOneAndUpdate({}, { $set: { n: 1 } }, { returnDocument: 'both' })
        .catch(({ kind, message }) => ({ kind, message })),
    };
  });
  assert.deepEqual(seen, {
    many: { matchedCount: 2, modifiedCount: 2, upsertedId: null },
    pipeline: { matchedCount: 4, modifiedCount: 4, upsertedId: null },
    filtered: { matchedCount: 1, modifiedCount: 1, upsertedId: null },
    list: [1, 0],
    replaced: { matchedCount: 1, modifiedCount: 1, upsertedId: null },
    upserted: { matchedCount: 0, modifiedCount: 0, upsertedId: 9 },
    before: { _id: 2, n: 'two' },
    after: { n: 15 },
    put: { _id: 2, n: 'deux' },
    taken: { _id: 2, n: 'deux' },
    none: null,
    distinct: [1, 9],
    estimated: 4,
    deleted: { deletedCount: 3 },
    wrong: { kind: 'invalidArgument', message: 'returnDocument is before or after, not both' },
  });
});

test('pipelines run over a collection and over a database', async () => {
  const seen = await page.evaluate(async () => {
    const collection = window.fresh();
    await collection.insertMany(Array.from({ length: 50 }, (_, n) => ({ n })));
    const stages = [{ $match: { n: { $gte: 10 } } }, { $sort: { n: 1 } }];
    const all = await collection.aggregate(stages, { batchSize: 7 }).toArray();
    const sum = await collection
      .aggregate([{ $group: { _id: null, n: { $sum: '$n' } } }], { readPreference: 'primary' })
      .next();
    const admin = window.client.db('admin');
    const own = await admin.aggregate([{ $currentOp: {} }, { $limit: 1 }]).toArray();
    return { all: all.map(({ n }) => n), sum, own: own.length };
  });
  assert.deepEqual(seen.all, Array.from({ length: 40 }, (_, n) => n + 10));
  assert.deepEqual(seen.sum, { _id: null, n: 1225 });
  assert.equal(seen.own, 1);
});

test('a cursor goes on over many batches, and can be left early', async () => {
  const { all, early } = await page.evaluate(async () => {
    const collection = window.fresh();
    await collection.insertMany(Array.from({ length: 250 }, (_, n) => ({ n })));
    const find = () => collection.find({}, { sort: { n: 1 }, batchSize: 20 });
    const early = [];
    for await (const { n } of find()) {
      early.push(n);
      if (n === 30) break;
    }
    return { all: (await find().toArray()).map(({ n }) => n), early };
  });
  assert.deepEqual(all, Array.from({ length: 250 }, (_, n) => n));
  assert.equal(early.length, 31);
});

test('every BSON type survives the way to the server and back', async () => {
  const same = await page.evaluate(async () => {
    const p = window.portolan;
    const document = {
      _id: new p.ObjectId(),
      long: p.Long.fromString('9007199254740993'),
      decimal: p.Decimal128.fromString('1.10'),
      double: new p.Double(3),
      half: 0.5,
      negative: -0,
      int: 7,
      date: new Date(1234567890123),
      late: new p.DateTime(p.Long.MAX_VALUE),
      binary: new p.Binary(new Uint8Array([1, 2, 3]), 0x80),
      uuid: new p.UUID(),
      regex: new p.BSONRegExp('a+', 'i'),
      code: new p.Code('x', { y: 1 }),
      symbol: new p.BSONSymbol('s'),
      min: new p.MinKey(),
      max: new p.MaxKey(),
      timestamp: new p.Timestamp({ t: 5, i: 6 }),
      nothing: null,
      nested: { array: [1, { deep: true }, 'zwölf ☆'] },
    };
    const collection = window.fresh();
    await collection.insertOne(document);
    const back = await collection.findOne({ _id: document._id });
    const [before, after] = [p.encode(document), p.encode(back)];
    return before.length === after.length && before.every((byte, index) => byte === after[index]);
  });
  assert.equal(same, true);
});

test('errors are PortolanErrors with kind, code and labels', async () => {
  const errors = await page.evaluate(async () => {
    const p = window.portolan;
    const facts = (error) => ({
      ours: error instanceof p.PortolanError,
      kind: error.kind,
      code: error.code,
      labels: error.labels,
      message: error.message,
    });
    const failed = (promise) => promise.then(() => null, facts);
    const collection = window.fresh();
    await collection.insertOne({ _id: 1 });
    return {
      duplicate: await failed(collection.insertOne({ _id: 1 })),
      unknown: await failed(window.client.db('admin').runCommand({ nonsense: 1 })),
      uri: await failed(p.connect({ bridge: window.tunnel, uri: 'mongo://x' })),
      preference: await failed(window.client.ping('somewhere')),
    };
  });
  for (const [name, error] of Object.entries(errors)) {
    assert.ok(error?.ours, `${name}: ${JSON.stringify(error)}`);
    assert.ok(error.message.length > 0 && error.kind.length > 0 && Array.isArray(error.labels));
  }
  assert.equal(errors.duplicate.code, 11000);
  assert.equal(errors.unknown.code, 59);
});

test('an unknown option of the connection string is a warning', async () => {
  const warnings = await page.evaluate(async () => {
    const { connect } = window.portolan;
    const options = { fairWind: 'yes' };
    const client = await connect({ bridge: window.tunnel, uri: window.uri, options });
    const list = client.warnings();
    // Chromium complains of a WebSocket that is closed before it was open.
    await client.ping();
    await client.close();
    return list;
  });
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /fairWind/i);
});

test('a bridge that wants a token is shown one, and refuses a page without', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portolan-token-'));
  const file = join(folder, 'tokens');
  writeFileSync(file, 'token-of-the-browser-test\n');
  const { uri, origin } = await page.evaluate(() => ({ uri: window.uri, origin: location.origin }));
  const options = ['--uri', uri, '--allow-origin', origin, '--token-file', file];
  const guarded = await startBridge(options);
  try {
    const outcome = await page.evaluate(async (bridge) => {
      const options = { serverSelectionTimeoutMS: 2000 };
      const ping = async (token) => {
        const client = await window.portolan.connect({ bridge, uri: window.uri, token, options });
        try {
          return (await client.ping()).serverType;
        } catch (error) {
          return error.message;
        } finally {
          await client.close();
        }
      };
      return [await ping('token-of-the-browser-test'), await ping('another-token-of-it')];
    }, guarded.url);
    assert.equal(outcome[0], 'RSPrimary');
    assert.match(outcome[1], /refused this page/);
  } finally {
    await guarded.stop();
    rmSync(folder, { recursive: true });
  }
  // Chromium says of each WebSocket that was refused that it was.
  const others = complaints.filter((text) => !/HTTP Authentication failed/.test(text));
  complaints.splice(0, complaints.length, ...others);
});

for (const file of ['README.md', 'web/README.md']) {
  test(`the example in ${file} runs`, async () => {
    const { uri, tunnel } = await page.evaluate(() => ({ uri: window.uri, tunnel: window.tunnel }));
    const code = example(file).replace(/mongodb:[^']*/, uri).replace(/ws:[^']*/, tunnel);
    const heard = [];
    const listen = (message) => heard.push(message.text());
    page.on('console', listen);
    await page.addScriptTag({ type: 'module', content: `${code}\nwindow.done = '${file}';` });
    await page.waitForFunction((name) => window.done === name, file);
    page.off('console', listen);
    assert.ok(heard.some((text) => text.includes('topologyOpening')), heard.join('\n'));
    assert.ok(heard.some((text) => text.includes('ReplicaSetWithPrimary')), heard.join('\n'));
  });
}

/** The JavaScript of a page's example: the block that imports the package. */
function example(file) {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map(([, code]) => code);
  const found = blocks.find((code) => code.includes("from 'portolan'"));
  assert.ok(found, `${file} has no example that imports the package`);
  return found;
}

test('close ends with topologyClosed, and operations fail afterwards', async () => {
  const { last, error } = await page.evaluate(async () => {
    await window.client.close();
    const error = await window.client.ping().then(
      () => null,
      (thrown) => thrown.name,
    );
    return { last: window.events.at(-1).kind, error };
  });
  assert.equal(last, 'topologyClosed');
  assert.equal(error, 'ClosedError');
});

test('nothing complained on the console', () => {
  assert.deepEqual(complaints, []);
});
