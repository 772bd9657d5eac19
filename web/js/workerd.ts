/**
 * The entry of workerd, the runtime of Cloudflare Workers.
 *
 * In a fetch handler no socket and no timer outlives its request: make a client with
 * `monitoring: 'onDemand'` for each, and hand it the snapshot of the one before. A Durable Object may
 * keep a client that watches in the background.
 */
import { connect as dial } from 'cloudflare:sockets';

import wasm from '../pkg/portolan_web_bg.wasm';
import { connectOn } from './connect.js';
import type { Connector } from './platform.js';

export * from './common.js';

/** Connections of the runtime. */
export const sockets: Connector = async (hostname, port, signal) => {
  const socket = dial({ hostname, port }, { secureTransport: 'off', allowHalfOpen: false });
  // How it ends is told by its streams.
  socket.closed.catch(() => undefined);
  const giveUp = (): void => void socket.close();
  signal.addEventListener('abort', giveUp);
  await socket.opened;
  signal.removeEventListener('abort', giveUp);
  return socket;
};

/** Nothing but what a worker imports is compiled here, and few workers want TLS of their own. */
const noTls = (): never => {
  throw new Error(
    'a worker that uses TLS imports its module: import { tlsWasm } from "portolan/tls", and give ' +
      'it to connect, as in connect({ uri, tlsWasm })',
  );
};

/** Starts a client: see {@link ConnectOptions}. */
export const connect = connectOn({
  name: 'workerd',
  connect: sockets,
  wasm: () => wasm,
  tlsWasm: noTls,
});
