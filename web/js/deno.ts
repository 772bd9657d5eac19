/** The entry of Deno. It needs the permission to reach the servers, and to read this package. */
import { connectOn } from './connect.js';
import type { ByteStreams, Connector, Resolver } from './platform.js';

export * from './common.js';

/** What is used of Deno. */
declare const Deno: {
  connect(options: { hostname: string; port: number; signal: AbortSignal }): Promise<
    ByteStreams & { setNoDelay(on: boolean): void }
  >;
  resolveDns(name: string, kind: 'SRV'): Promise<{ target: string; port: number }[]>;
  resolveDns(name: string, kind: 'TXT'): Promise<string[][]>;
};

/** Connections of the runtime. */
export const sockets: Connector = async (hostname, port, signal) => {
  const connection = await Deno.connect({ hostname, port, signal });
  connection.setNoDelay(true);
  return connection;
};

const dns: Resolver = async (name, kind) => {
  if (kind === 'TXT') return (await Deno.resolveDns(name, kind)).map((texts) => texts.join(''));
  const records = await Deno.resolveDns(name, kind);
  return records.map((record) => ({ host: record.target, port: record.port }));
};

/** Starts a client: see {@link ConnectOptions}. */
export const connect = connectOn({ name: 'Deno', connect: sockets, resolve: dns });
