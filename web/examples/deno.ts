// deno run --allow-net --allow-read deno.ts 'mongodb://a,b,c/?replicaSet=rs0'
import { type ObjectId, connect } from 'portolan';

interface Note {
  _id?: ObjectId;
  text: string;
  at: Date;
}

await using client = await connect({ uri: Deno.args[0] ?? 'mongodb://127.0.0.1:27017' });
const notes = client.db('app').collection<Note>('notes');
await notes.insertOne({ text: 'from Deno', at: new Date() }, { signal: AbortSignal.timeout(10_000) });
for await (const note of notes.find({}, { sort: { _id: -1 }, limit: 3 })) console.log(note.text);
const primary = client.topology().servers.find((server) => server.type === 'RSPrimary');
console.log(`the primary is ${primary?.address}, ${primary?.roundTripTimeMs} ms away`);
