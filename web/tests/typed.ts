/** Uses of the package that must compile, and some that must not; `npm run check` compiles them. */
import {
  AbortError,
  type ByteStreams,
  type Document,
  Long,
  ObjectId,
  PortolanError,
  SelectionError,
  type TlsOptions,
  type TopologySnapshot,
  connect,
} from 'portolan';
import { tlsWasm } from 'portolan/tls';

interface Note {
  _id?: ObjectId;
  text: string;
  votes: Long | number;
}

async function notes(uri: string, snapshot?: TopologySnapshot): Promise<TopologySnapshot> {
  await using client = await connect({
    uri,
    options: { retryWrites: true, appName: 'typed' },
    monitoring: 'onDemand',
    ...(snapshot && { snapshot }),
  });
  const signal = AbortSignal.timeout(1000);
  const collection = client.db('app').collection<Note>('notes');
  const { insertedId } = await collection.insertOne({ text: 'a', votes: 1 }, { signal });
  const id: unknown = insertedId;
  const many = await collection.insertMany([{ text: 'b', votes: Long.ONE }], { signal });
  const first: unknown = many.insertedIds[0];
  await collection.updateOne({ _id: id }, { $inc: { votes: 1 } }, { upsert: true, signal });
  await collection.updateOne({ _id: first }, [{ $set: { votes: 2 } }]);
  const one: Note | null = await collection.findOne({ text: 'a' }, { signal });
  const text: string | undefined = one?.text;
  const count: number = await collection.countDocuments({ text }, { limit: 5, signal });
  await collection.updateMany({}, { $inc: { votes: 1 } }, { arrayFilters: [{ a: 1 }] });
  await collection.replaceOne({ text }, { text: 'c', votes: 0 }, { upsert: true });
  // @ts-expect-error: a whole document is put in its place
  await collection.replaceOne({ text }, { text: 'c' });
  const after = { returnDocument: 'after', signal } as const;
  const changed: Note | null = await collection.findOneAndUpdate({}, { $set: { text } }, after);
  const gone: Note | null = await collection.findOneAndDelete({ text: changed?.text });
  for await (const { total } of collection.aggregate<{ total: number }>([{ $count: 'total' }])) {
    total.toFixed(gone === null ? 0 : 1);
  }
  const texts: unknown[] = await collection.distinct('text', {}, { readPreference: 'nearest' });
  await collection.deleteMany({ text: { $in: texts } });
  const { deletedCount } = await collection.deleteOne({ text }, { signal });
  await using cursor = collection.find({}, { sort: { votes: -1 }, batchSize: count, signal });
  for await (const note of cursor) note.text.toUpperCase();
  const hello: Document = await client.db('admin').runCommand({ hello: deletedCount }, { signal });
  const ping = await client.ping({ mode: 'nearest', tags: [{ dc: 'east' }] }, { signal });
  const duration: number = ping.durationMs;
  client.onEvent((event) => {
    if (event.kind === 'serverHeartbeatFailed') event.failure.trim();
    if (event.kind === 'failoverCompleted') event.timeline.recoveryMs.toFixed(duration);
    // @ts-expect-error: only some kinds have it
    event.failure;
  });
  using closing = client;
  closing.topology().servers.map((server) => server.type satisfies string);
  return hello['ok'] === 1 ? client.snapshot() : Promise.reject(new Error('no'));
}

async function reasons(error: unknown): Promise<string[]> {
  if (error instanceof AbortError) return [String(error.cause)];
  if (error instanceof SelectionError) {
    return error.reasons.map(({ address, reason, explanation }) => `${address} ${reason} ${explanation}`);
  }
  if (error instanceof PortolanError && error.kind === 'command') {
    const code: number | undefined = error.code;
    return [...error.labels, String(code)];
  }
  return [];
}

async function streams(open: (host: string, port: number) => Promise<ByteStreams>): Promise<void> {
  const client = await connect({ uri: 'mongodb://a', sockets: open });
  await client.close();
  await connect({ bridge: new URL('wss://bridge.example'), uri: 'mongodb://a' });
  // @ts-expect-error: there is nothing to connect to
  await connect({ bridge: '/tunnel' });
  // @ts-expect-error: there is no such mode
  await connect({ uri: 'mongodb://a', monitoring: 'sometimes' });
  // @ts-expect-error: notes have a text
  await client.db('app').collection<Note>('notes').insertOne({ votes: 1 });
  // @ts-expect-error: a kind that there is not
  if (new PortolanError({ message: '', kind: 'network' }).kind === 'nonsense') return;
}

export { notes, reasons, streams };

export async function secure(uri: string, ca: string): Promise<void> {
  const tls: TlsOptions = { ca, allowInvalidHostnames: true };
  await using client = await connect({ uri, tls, tlsWasm });
  await using other = await connect({ uri, tls: true });
  // @ts-expect-error: files are not read
  await connect({ uri, tls: { caFile: ca } });
  await Promise.all([client.ping(), other.ping()]);
}
