/** What every entry of this package exports, whatever the runtime; each adds its own `connect`. */
export * from './bson.js';
export { Client, Database, type Ping, type RunCommandOptions } from './client.js';
export {
  Collection,
  type CountOptions,
  type DeleteResult,
  type DistinctOptions,
  type FindOneAndDeleteOptions,
  type FindOneAndReplaceOptions,
  type FindOneAndUpdateOptions,
  type InsertManyResult,
  type InsertOneResult,
  type ReplaceOptions,
  type UpdateOptions,
  type UpdateResult,
} from './collection.js';
export type { ConnectOptions, TopologySnapshot } from './connect.js';
export { type AggregateOptions, Cursor, type FindOptions, type OperationOptions } from './cursor.js';
export {
  AbortError,
  ArgumentError,
  AuthenticationError,
  ClosedError,
  type ErrorKind,
  NetworkError,
  PortolanError,
  SelectionError,
  ServerError,
  type ServerReason,
  TimeoutError,
} from './error.js';
export * from './event.js';
export type { ByteStreams, Connector, Resolver, SrvRecord } from './platform.js';
export type { ReadPreference, ReadPreferenceMode } from './read-preference.js';
export type { TlsOptions } from './tls.js';
export type { WasmSource } from './wasm.js';
