// bun bun.ts 'mongodb://a,b,c/?replicaSet=rs0'
import { connect } from 'portolan';

interface Note {
  text: string;
  at: Date;
}

const uri = process.argv[2] ?? 'mongodb://127.0.0.1:27017';
await using client = await connect({ uri, options: { appName: 'notes' } });
client.onEvent((event) => {
  if (event.kind === 'failoverCompleted') console.log(`a new primary: ${event.timeline.to}`);
});
const notes = client.db('app').collection<Note>('notes');
await notes.insertOne({ text: 'from Bun', at: new Date() });
for await (const note of notes.find({}, { sort: { _id: -1 }, limit: 3 })) console.log(note.text);
