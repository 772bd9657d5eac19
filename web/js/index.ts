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
 */
export * from './bson.js';
export {
  Client,
  type ConnectOptions,
  Database,
  type Ping,
  connect,
} from './client.js';
export {
  Collection,
  type CountOptions,
  type DeleteResult,
  type InsertManyResult,
  type InsertOneResult,
  type UpdateResult,
} from './collection.js';
export { FindCursor, type FindOptions } from './cursor.js';
export { type ErrorKind, PortolanError } from './error.js';
export * from './event.js';
export type { ReadPreference, ReadPreferenceMode } from './read-preference.js';
export type { WasmSource } from './wasm.js';
