/**
 * Portolan for JavaScript: a MongoDB driver in the browser and at the edge.
 *
 * ```ts
 * const client = await connect({ bridge: 'ws://127.0.0.1:8080', uri: 'mongodb://a,b,c/?replicaSet=rs0' });
 * client.onEvent((event) => console.log(event.kind));
 * const users = client.db('app').collection('users');
 * await users.insertOne({ name: 'Ada' });
 * for await (const user of users.find({}, { sort: { name: 1 } })) console.log(user);
 * await client.close();
 * ```
 *
 * This is the entry of browsers, and of every runtime that has none of its own: it knows no sockets,
 * so that `bridge` or `sockets` must be given.
 */
import { connectOn } from './connect.js';

export * from './common.js';

/** Starts a client: see {@link ConnectOptions}. */
export const connect = connectOn({ name: 'browser' });
