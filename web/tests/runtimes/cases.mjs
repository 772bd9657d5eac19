/**
 * What a client must do on every runtime, against a real set of three members.
 *
 * Nothing here is of one runtime. Each case is given: `portolan`, the package; `open(options)`, a new
 * client of the set in the mode of this run; `act(action, address)`, which harms or mends a member;
 * `isOnDemand`; and `unused`, a port where nobody listens. A case answers what is worth a note, if
 * anything is.
 */

/** By name, in the order of the table. */
export const CASES = {
  discovery,
  CRUD: crud,
  cursors,
  '16 MB': large,
  'BSON types': types,
  errors,
  cancellation,
  snapshot,
  concurrency,
  stepDown,
  SIGKILL: kill,
  closing,
};

/** Longer than an election and a rediscovery together, on a slow machine. */
const PATIENCE_MS = 40_000;

async function discovery({ open, isOnDemand }) {
  const client = await open();
  const kinds = [];
  client.onEvent(({ kind }) => kinds.push(kind));
  const primary = await client.ping();
  equal(primary.serverType, 'RSPrimary');
  const secondary = await client.ping('secondary');
  equal(secondary.serverType, 'RSSecondary');
  await until('three members are known', async () => {
    // On demand nothing is learned between operations.
    if (isOnDemand) await client.ping('nearest');
    return client.topology().servers.every(({ type }) => type !== 'Unknown');
  });
  const { topologyType, servers } = client.topology();
  equal([topologyType, servers.length], ['ReplicaSetWithPrimary', 3]);
  equal(kinds[0], 'topologyOpening');
  check(kinds.includes('serverHeartbeatSucceeded'), 'heartbeats are heard of');
}

async function crud({ open }) {
  const client = await open();
  const collection = fresh(client);
  await collection.insertOne({ n: 0 });
  const many = await collection.insertMany([{ n: 1 }, { _id: 'mine', n: 2 }]);
  equal(many.insertedIds[1], 'mine');
  equal(await collection.countDocuments({ n: { $gte: 1 } }), 2);
  const updated = await collection.updateOne({ n: 1 }, { $set: { n: 10 } });
  equal(updated, { matchedCount: 1, modifiedCount: 1, upsertedId: null });
  const upserted = await collection.updateOne({ n: 99 }, { $set: { x: 1 } }, { upsert: true });
  check(upserted.upsertedId !== null, 'upserted');
  equal(await collection.deleteOne({ n: 0 }), { deletedCount: 1 });
  const options = { sort: { n: -1 }, skip: 1, limit: 1, projection: { n: 1, _id: 0 } };
  equal(await collection.find({}, options).toArray(), [{ n: 10 }]);
  equal(await collection.findOne({ n: 'none' }), null);
}

async function cursors({ open }) {
  const client = await open();
  const collection = fresh(client);
  await collection.insertMany(Array.from({ length: 250 }, (_, n) => ({ n })));
  const find = () => collection.find({}, { sort: { n: 1 }, batchSize: 20 });
  const early = [];
  for await (const { n } of find()) {
    early.push(n);
    if (n === 30) break;
  }
  equal(early.length, 31);
  const all = (await find().toArray()).map(({ n }) => n);
  equal(all, Array.from({ length: 250 }, (_, n) => n));
  const left = find();
  equal((await left.next()).n, 0);
  await left[Symbol.asyncDispose]();
  equal(await left.next(), null);
}

async function large({ open }) {
  const client = await open();
  const collection = fresh(client);
  // The greatest that a server takes: all but the bytes of the other members.
  const filler = 'abcdefghijklmnopqrstuvwxyz012345'.repeat(512 * 1024).slice(0, 16_777_216 - 64);
  const started = performance.now();
  await collection.insertOne({ _id: 1, filler });
  const written = performance.now();
  const back = await collection.findOne({ _id: 1 });
  const read = performance.now();
  check(back.filler === filler, 'it comes back as it was');
  const over = await failure(collection.insertOne({ filler: filler.repeat(2) }));
  equal(over.name, 'ArgumentError');
  return `up ${Math.round(written - started)} ms, down ${Math.round(read - written)} ms`;
}

async function types({ portolan, open }) {
  const { encode, ObjectId, Long, Decimal128, Double, DateTime, Binary, UUID } = portolan;
  const { BSONRegExp, Code, MinKey, MaxKey, Timestamp } = portolan;
  const document = {
    _id: new ObjectId(),
    long: Long.fromString('9007199254740993'),
    decimal: Decimal128.fromString('1.10'),
    numbers: [new Double(3), 0.5, -0, 7],
    dates: [new Date(1234567890123), new DateTime(Long.MAX_VALUE)],
    bytes: [new Binary(new Uint8Array([1, 2, 3]), 0x80), new UUID()],
    regex: new BSONRegExp('a+', 'i'),
    code: new Code('x', { y: 1 }),
    ends: [new MinKey(), new MaxKey(), null, true],
    timestamp: new Timestamp({ t: 5, i: 6 }),
    nested: { array: [1, { deep: 'zwölf ☆' }] },
  };
  const client = await open();
  const collection = fresh(client);
  await collection.insertOne(document);
  const back = await collection.findOne({ _id: document._id });
  equal([...encode(back)], [...encode(document)]);
}

async function errors({ portolan, open, unused }) {
  const client = await open();
  const collection = fresh(client);
  await collection.insertOne({ _id: 1 });
  const duplicate = await failure(collection.insertOne({ _id: 1 }));
  equal([duplicate.name, duplicate.kind, duplicate.code], ['ServerError', 'write', 11000]);
  check(duplicate instanceof portolan.ServerError && duplicate instanceof Error, 'of its class');
  const unknown = await failure(client.db('admin').runCommand({ nonsense: 1 }));
  equal([unknown.kind, unknown.code], ['command', 59]);
  equal((await failure(open({ uri: 'mongo://x' }))).kind, 'options');
  equal((await failure(client.ping('somewhere'))).kind, 'invalidArgument');
  const address = `127.0.0.1:${unused}`;
  const nobody = await open({
    uri: `mongodb://${address}/?serverSelectionTimeoutMS=700&directConnection=true`,
  });
  const selection = await failure(nobody.ping());
  equal([selection.name, selection.kind], ['SelectionError', 'serverSelection']);
  equal(selection.reasons[0].address, address);
  check(selection.reasons[0].explanation.length > 10, selection.message);
  return selection.reasons[0].explanation;
}

async function cancellation({ open }) {
  const client = await open();
  const admin = client.db('admin');
  equal((await failure(admin.runCommand({ ping: 1 }, { signal: AbortSignal.abort() }))).name, 'AbortError');
  const controller = new AbortController();
  const started = performance.now();
  const sleeping = admin.runCommand({ sleep: 1, millis: 20_000, lock: 'none' }, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 100);
  const error = await failure(sleeping);
  const took = performance.now() - started;
  equal([error.name, error.kind, error.cause.message], ['AbortError', 'aborted', 'enough']);
  check(took < 5000, `it ended after ${took} ms`);
  equal((await admin.runCommand({ ping: 1 })).ok, 1);
  const collection = fresh(client);
  await collection.insertMany(Array.from({ length: 50 }, (_, n) => ({ n })));
  const stop = new AbortController();
  const cursor = collection.find({}, { batchSize: 10, signal: stop.signal });
  for (let n = 0; n < 10; n += 1) await cursor.next();
  stop.abort();
  equal((await failure(cursor.next())).name, 'AbortError');
  equal(await collection.countDocuments(), 50);
}

async function snapshot({ open, isOnDemand }) {
  const first = await open();
  const { address } = await first.ping();
  const kept = JSON.parse(JSON.stringify(first.snapshot()));
  await first.close();
  const second = await open({ snapshot: kept });
  const asked = [];
  second.onEvent((event) => {
    if (event.kind === 'serverHeartbeatStarted') asked.push(event.address);
  });
  // In the background all of it is believed at once; on demand the first look goes to the primary.
  if (!isOnDemand) equal(second.topology().topologyType, 'ReplicaSetWithPrimary');
  equal((await second.ping()).address, address);
  if (isOnDemand) await until('an event', async () => asked.length > 0);
  if (isOnDemand) equal(asked[0], address);
}

async function concurrency({ open }) {
  const client = await open();
  const collection = fresh(client);
  const inserts = Array.from({ length: 60 }, (_, _id) => collection.insertOne({ _id }));
  await Promise.all(inserts);
  const finds = Array.from({ length: 60 }, (_, _id) => collection.findOne({ _id }));
  equal((await Promise.all(finds)).map(({ _id }) => _id), Array.from({ length: 60 }, (_, n) => n));
}

async function stepDown(given) {
  return failover(given, (old) => given.act('step-down', old));
}

async function kill(given) {
  let dead;
  try {
    return await failover(given, async (old) => {
      dead = old;
      await given.act('kill', old);
    });
  } finally {
    if (dead !== undefined) await given.act('restart', dead);
  }
}

/** Writes before, while and after the primary changes; how long it took until one succeeded. */
async function failover({ open }, harm) {
  const client = await open();
  const collection = fresh(client);
  await collection.insertOne({ before: true });
  const old = primaryOf(client);
  const harmed = performance.now();
  await harm(old);
  let during = 0;
  await until('a write on another primary', async () => {
    await collection.insertOne({ during }).then(() => (during += 1), expectFailover);
    return during > 0 && primaryOf(client) !== undefined && primaryOf(client) !== old;
  });
  const took = performance.now() - harmed;
  await collection.insertOne({ after: true });
  check((await collection.countDocuments()) >= during + 2, 'nothing acknowledged is lost');
  return `${Math.round(took)} ms`;
}

/** What an operation may meet while there is no primary; anything else is a failure. */
function expectFailover(error) {
  if (error.kind === 'network' || error.kind === 'serverSelection' || error.kind === 'pool') return;
  if (error.hasLabel?.('RetryableWriteError')) return;
  throw error;
}

async function closing({ open }) {
  const client = await open();
  const kinds = [];
  client.onEvent(({ kind }) => kinds.push(kind));
  await client.ping();
  await client.close();
  equal((await failure(client.ping())).name, 'ClosedError');
  await until('the last event', async () => kinds.at(-1) === 'topologyClosed');
}

function primaryOf(client) {
  return client.topology().servers.find(({ type }) => type === 'RSPrimary')?.address;
}

function fresh(client) {
  return client.db('runtimes').collection(`c${Date.now()}${Math.random()}`);
}

async function until(what, done) {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await done())) {
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await new Promise((later) => setTimeout(later, 20));
  }
}

function failure(promise) {
  return promise.then(
    () => {
      throw new Error('it succeeded');
    },
    (error) => error,
  );
}

function check(holds, what) {
  if (!holds) throw new Error(`does not hold: ${what}`);
}

function equal(actual, expected) {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${left} is not ${right}`);
}

/** Runs one case; `{ ok, note }`, with the error as note. Never rejects, and leaves no client open. */
export async function run(name, portolan, addresses) {
  const clients = [];
  try {
    const given = prepare(portolan, addresses, (client) => clients.push(client));
    return { ok: true, note: (await CASES[name](given)) ?? '' };
  } catch (error) {
    return { ok: false, note: `${error?.name}: ${error?.message ?? error}\n${error?.stack ?? ''}` };
  } finally {
    // Closing twice is allowed.
    for (const client of clients) await client.close();
  }
}

function prepare(portolan, { uri, bridge, control, unused, isOnDemand }, opened) {
  const monitoring = isOnDemand ? 'onDemand' : 'background';
  // On demand an operation would fail after its first look at servers that have no primary yet.
  const options = isOnDemand ? { serverSelectionTryOnce: false } : {};
  const open = async (more) => {
    const all = { uri, monitoring, options, ...(bridge && { bridge }), ...more };
    const client = await portolan.connect(all);
    opened(client);
    return client;
  };
  const act = async (action, address) => {
    const response = await fetch(`${control}?action=${action}&address=${address}`);
    if (!response.ok) throw new Error(`${action} ${address}: ${await response.text()}`);
  };
  return { portolan, open, act, isOnDemand, unused };
}
