/**
 * The client's home: a worker, because pages in the background have their timers throttled, and a
 * monitor whose heartbeats come late would draw a wrong chart.
 */
import {
  type Client,
  type Collection,
  EJSON,
  PortolanError,
  type PortolanEvent,
  type ReadPreferenceMode,
  connect,
} from 'portolan';

import type { FromWorker, Outcome, ToWorker } from './protocol';

const DATABASE = 'portolan';
const COLLECTION = 'logbook';
/** Round-trip times change without an event, so the page gets a snapshot this often, in ms. */
const SNAPSHOT_EVERY = 500;

let client: Client | undefined;
let zeroAt = Number.POSITIVE_INFINITY;
let snapshotDue = false;

self.addEventListener('message', (message: MessageEvent<ToWorker>) => {
  void answer(message.data);
});

async function answer(message: ToWorker): Promise<void> {
  switch (message.type) {
    case 'start':
      return start(message.bridge, message.uri);
    case 'insert':
      return run(message.id, () => insert(message.note));
    case 'read':
      return run(message.id, () => read(message.mode));
  }
}

async function start(bridge: string, uri: string): Promise<void> {
  try {
    client = await connect({ bridge, uri, options: pace(uri) });
    client.onEvent(hear);
    setInterval(snapshot, SNAPSHOT_EVERY);
  } catch (thrown) {
    say({ type: 'failed', message: text(thrown) });
  }
}

/** A chart that is looked at wants fresher readings than every 10 s, unless its owner says. */
function pace(uri: string): Record<string, number> {
  return /[?&]heartbeatFrequencyMS=/i.test(uri) ? {} : { heartbeatFrequencyMS: 1000 };
}

function hear(event: PortolanEvent): void {
  // An event arrives after it happened, so the smallest difference is the truest.
  zeroAt = Math.min(zeroAt, Date.now() - event.t_ms);
  say({ type: 'event', event });
  if (snapshotDue) return;
  snapshotDue = true;
  queueMicrotask(snapshot);
}

function snapshot(): void {
  snapshotDue = false;
  if (client === undefined || zeroAt === Number.POSITIVE_INFINITY) return;
  say({ type: 'snapshot', topology: client.topology(), zeroAt });
}

interface Done {
  summary: string;
  rows: string[];
  server: string | null;
}

async function run(id: number, work: () => Promise<Done>): Promise<void> {
  const begun = performance.now();
  let outcome: Outcome;
  try {
    outcome = { ok: true, ...(await work()), durationMs: performance.now() - begun };
  } catch (thrown) {
    const kind = thrown instanceof PortolanError ? thrown.kind : 'internal';
    outcome = { ok: false, message: text(thrown), kind, durationMs: performance.now() - begun };
  }
  say({ type: 'outcome', id, outcome });
}

async function insert(note: string): Promise<Done> {
  const { insertedId } = await logbook().insertOne({ note, at: new Date() });
  // Only a primary takes writes, so whoever leads now is the one that took it, or its successor.
  const primary = client?.topology().servers.find(({ type }) => type === 'RSPrimary');
  const server = primary?.address ?? null;
  return { summary: 'inserted', rows: [EJSON.stringify({ _id: insertedId })], server };
}

async function read(mode: ReadPreferenceMode): Promise<Done> {
  const cursor = logbook().find({}, { sort: { _id: -1 }, limit: 5, readPreference: mode });
  const found = await cursor.toArray();
  const summary = `${found.length} ${found.length === 1 ? 'document' : 'documents'}`;
  return { summary, rows: found.map((document) => EJSON.stringify(document)), server: cursor.address };
}

function logbook(): Collection {
  if (client === undefined) throw new Error('the client has not started');
  return client.db(DATABASE).collection(COLLECTION);
}

function say(message: FromWorker): void {
  self.postMessage(message);
}

function text(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
