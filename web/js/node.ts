/** The entry of Node.js, and of Bun, which has the same modules. */
import { resolveSrv, resolveTxt } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { type Socket, connect as dial } from 'node:net';

import { connectOn } from './connect.js';
import type { ByteStreams, Connector, Resolver } from './platform.js';

export * from './common.js';

/** Connections of `node:net`. */
export const sockets: Connector = (host, port, signal) =>
  new Promise((opened, failed) => {
    const socket = dial({ host, port, noDelay: true });
    const giveUp = (): void => socket.destroy();
    signal.addEventListener('abort', giveUp);
    const done = (): void => {
      signal.removeEventListener('abort', giveUp);
      socket.off('error', failed);
      socket.off('close', failed);
    };
    socket.on('error', failed);
    socket.on('close', failed);
    socket.on('connect', () => {
      done();
      opened(streams(socket));
    });
  });

/** Nothing flows but what is read: Node's own `Duplex.toWeb` loses what waits when a socket fails. */
function streams(socket: Socket): ByteStreams {
  let failure: unknown;
  let look: (() => void) | undefined;
  socket.on('error', (error) => void (failure = error));
  for (const event of ['readable', 'end', 'close']) socket.on(event, () => look?.());
  const pull = (controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> =>
    new Promise((done) => {
      look = () => {
        const chunk = socket.read();
        if (chunk !== null) controller.enqueue(chunk);
        else if (failure !== undefined) controller.error(failure);
        else if (socket.readableEnded || socket.destroyed) controller.close();
        else return;
        look = undefined;
        done();
      };
      look();
    });
  const close = (): void => {
    // A stream that was cancelled takes no more.
    look = undefined;
    socket.destroy();
  };
  return {
    readable: new ReadableStream({ pull, cancel: close }, { highWaterMark: 0 }),
    writable: new WritableStream({
      write: (chunk) =>
        new Promise((done, failed) => socket.write(chunk, (error) => (error ? failed(error) : done()))),
      close: () => new Promise<void>((done) => socket.end(done)),
      abort: close,
    }),
    close,
  };
}

const dns: Resolver = async (name, kind) => {
  if (kind === 'TXT') return (await resolveTxt(name)).map((strings) => strings.join(''));
  return (await resolveSrv(name)).map((record) => ({ host: record.name, port: record.port }));
};

/** Starts a client: see {@link ConnectOptions}. */
export const connect = connectOn({
  name: 'Bun' in globalThis ? 'Bun' : 'Node.js',
  connect: sockets,
  resolve: dns,
  wasm: () => readFile(new URL('../pkg/portolan_web_bg.wasm', import.meta.url)),
  tlsWasm: () => readFile(new URL('../pkg/portolan_tls_bg.wasm', import.meta.url)),
});
