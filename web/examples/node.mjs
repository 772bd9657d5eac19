// node node.mjs 'mongodb://a,b,c/?replicaSet=rs0'
import process from 'node:process';

import { SelectionError, connect } from 'portolan';

const client = await connect({ uri: process.argv[2] ?? 'mongodb://127.0.0.1:27017' });
client.onEvent((event) => {
  if (event.kind === 'topologyDescriptionChanged') console.log(event.newDescription.topologyType);
});
try {
  const notes = client.db('app').collection('notes');
  await notes.insertOne({ text: 'from Node.js', at: new Date() });
  for await (const note of notes.find({}, { sort: { _id: -1 }, limit: 3 })) console.log(note.text);
} catch (error) {
  if (!(error instanceof SelectionError)) throw error;
  for (const { address, explanation } of error.reasons) console.error(address, explanation);
  process.exitCode = 1;
} finally {
  await client.close();
}
