/** As much of a server's side of the protocol as tests of connections need. */
import { createServer } from 'node:net';

import { deserialize, serialize } from 'bson';

const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;

/** What a standalone says of itself. */
export const HELLO = {
  ok: 1,
  helloOk: true,
  isWritablePrimary: true,
  maxBsonObjectSize: 16_777_216,
  maxMessageSizeBytes: 48_000_000,
  maxWriteBatchSize: 100_000,
  minWireVersion: 0,
  maxWireVersion: 17,
};

/**
 * Listens on a free port; `answer(command, socket, reply)` is called with each message, and sends
 * `reply(document)` when it likes.
 */
export async function listen(answer) {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      while (bytes.length >= 4 && bytes.length >= bytes.readInt32LE(0)) {
        const message = bytes.subarray(0, bytes.readInt32LE(0));
        bytes = bytes.subarray(message.length);
        answer(command(message), socket, (document) => socket.write(reply(message, document)));
      }
    });
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return new Promise((closed) => server.close(closed));
  };
  return { port: server.address().port, close };
}

function command(message) {
  if (message.readInt32LE(12) === OP_MSG) return deserialize(message.subarray(21));
  return deserialize(message.subarray(message.indexOf(0, 20) + 9));
}

function reply(message, document) {
  const body = serialize(document);
  const legacy = message.readInt32LE(12) === OP_QUERY;
  const start = legacy ? Buffer.alloc(36) : Buffer.alloc(21);
  start.writeInt32LE(start.length + body.length, 0);
  start.writeInt32LE(message.readInt32LE(4), 8);
  start.writeInt32LE(legacy ? OP_REPLY : OP_MSG, 12);
  if (legacy) start.writeInt32LE(1, 32);
  return Buffer.concat([start, body]);
}
