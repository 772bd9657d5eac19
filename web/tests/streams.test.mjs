/** Connections made of WHATWG streams, in Node.js: what is read and when, and how they end. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';

import { NetworkError, connect, sockets } from '../dist/node.js';
import { HELLO, listen } from './wire.mjs';

const forever = new AbortController().signal;

/** A client of one server, over `open`. */
function client(port, open, options = {}) {
  return connect({
    uri: `mongodb://127.0.0.1:${port}`,
    options: { serverMonitoringMode: 'poll', ...options },
    ...(open && { sockets: open }),
  });
}

/** A server that greets, and leaves everything else to `answer`. */
function greeting(answer) {
  return listen((command, socket, reply) => {
    if (command.hello || command.isMaster || command.ismaster) return reply(HELLO);
    return answer(command, socket, reply);
  });
}

test('the last bytes before a close are delivered', async () => {
  const sent = Buffer.alloc(3_000_000, 7);
  const server = createServer((socket) => socket.end(sent));
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const pair = await sockets('127.0.0.1', server.address().port, forever);
  // All that fits is here, and the end of it, before anything is read.
  await new Promise((later) => setTimeout(later, 50));
  let count = 0;
  for await (const chunk of pair.readable) count += chunk.length;
  assert.equal(count, sent.length);
  server.close();
});

test('a reply is read though the server closes right behind it', async (context) => {
  const server = await greeting((command, socket, reply) => {
    reply({ ok: 1, said: 'and gone' });
    socket.end();
  });
  const user = await client(server.port);
  context.after(() => user[Symbol.asyncDispose]());
  const reply = await user.db('admin').runCommand({ lastWords: 1 });
  assert.equal(reply.said, 'and gone');
  await server.close();
});

test('nothing is read that nobody wants: a reply waits in its stream', async (context) => {
  const server = await greeting((command, socket, reply) => {
    reply({ ok: 1, filler: 'x'.repeat(1_000_000) });
  });
  let asked = 0;
  let unasked = 0;
  const counting = async (...address) => {
    const pair = await sockets(...address);
    const reader = pair.readable.getReader();
    const pull = async (controller) => {
      asked += 1;
      // With no queue of its own, a stream is pulled for a pending read only.
      if (controller.desiredSize > 0) unasked += 1;
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    };
    const readable = new ReadableStream({ pull }, { highWaterMark: 0 });
    return { readable, writable: pair.writable, close: pair.close };
  };
  const user = await client(server.port, counting);
  context.after(() => user[Symbol.asyncDispose]());
  const reply = await user.db('admin').runCommand({ much: 1 });
  assert.equal(reply.filler.length, 1_000_000);
  assert.ok(asked > 2, `${asked} pulls`);
  assert.equal(unasked, 0);
  await server.close();
});

test('chunks of any size make messages, and a write waits for room', async (context) => {
  const seen = [];
  const server = await greeting((command, socket, reply) => {
    seen.push(command.filler.length);
    reply({ ok: 1, filler: command.filler });
  });
  let inHand = 0;
  let most = 0;
  const awkward = async (...address) => {
    const pair = await sockets(...address);
    const writer = pair.writable.getWriter();
    const cut = new TransformStream({
      transform(chunk, controller) {
        const middle = chunk.length >> 1;
        for (const part of [chunk.subarray(0, 1), new Uint8Array(0), chunk.subarray(1, middle)]) {
          controller.enqueue(part);
        }
        controller.enqueue(chunk.subarray(Math.max(middle, 1)));
      },
    });
    const write = async (chunk) => {
      inHand += 1;
      most = Math.max(most, inHand);
      await new Promise((later) => setTimeout(later, 1));
      await writer.write(chunk);
      inHand -= 1;
    };
    // A stream would hand its sink one chunk at a time, however many it was given.
    const writable = { getWriter: () => ({ write, abort: async () => {}, close: async () => {} }) };
    return { readable: pair.readable.pipeThrough(cut), writable, close: pair.close };
  };
  const user = await client(server.port, awkward);
  context.after(() => user[Symbol.asyncDispose]());
  const filler = 'y'.repeat(5_000_000);
  const reply = await user.db('admin').runCommand({ echo: 1, filler });
  assert.equal(reply.filler, filler);
  assert.deepEqual(seen, [filler.length]);
  assert.deepEqual([most, inHand], [1, 0]);
  await server.close();
});

test('a connection that arrives when nobody waits any more is closed', async () => {
  const server = await greeting(() => {});
  let closed;
  const ended = new Promise((resolve) => (closed = resolve));
  let told = false;
  let dialled;
  const dialling = new Promise((resolve) => (dialled = resolve));
  let open;
  const late = (host, port, signal) => {
    signal.addEventListener('abort', () => (told = true));
    dialled();
    return new Promise((resolve) => (open = resolve));
  };
  const user = await client(server.port, late);
  await dialling;
  await user.close();
  assert.ok(told, 'the signal says so');
  open({ readable: new ReadableStream(), writable: new WritableStream(), close: closed });
  await ended;
  await server.close();
});

test('a server that refuses, and one that breaks off, are network errors', async (context) => {
  const server = await greeting((command, socket) => socket.resetAndDestroy());
  const user = await client(server.port);
  context.after(() => user[Symbol.asyncDispose]());
  await assert.rejects(user.db('admin').runCommand({ insert: 1 }), (error) => {
    assert.ok(error instanceof NetworkError, `${error.name}: ${error.message}`);
    return error.kind === 'network';
  });
  await server.close();
  const nobody = await connect({
    uri: `mongodb://127.0.0.1:${server.port}`,
    options: { serverSelectionTimeoutMS: 300 },
  });
  await assert.rejects(nobody.ping(), (error) => {
    assert.equal(error.name, 'SelectionError');
    assert.match(error.reasons[0].explanation, /ECONNREFUSED/);
    return error.reasons[0].address === `127.0.0.1:${server.port}`;
  });
  await nobody.close();
});

test('an operation that is aborted ends at once, and the next one succeeds', async (context) => {
  const server = await greeting((command, socket, reply) => {
    if (command.quick) reply({ ok: 1 });
  });
  const user = await client(server.port);
  context.after(() => user[Symbol.asyncDispose]());
  const controller = new AbortController();
  const slow = user.db('admin').runCommand({ slow: 1 }, { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 30);
  await assert.rejects(slow, (error) => error.name === 'AbortError' && error.cause.message === 'enough');
  assert.equal((await user.db('admin').runCommand({ quick: 1 })).ok, 1);
  await server.close();
});
