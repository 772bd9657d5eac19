/** Logins by SCRAM-SHA-256: what the password is prepared to, and who derives the key. */
import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { test } from 'node:test';

import { Binary } from 'bson';

import { AuthenticationError, connect } from '../dist/node.js';
import { HELLO, listen } from './wire.mjs';

const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const ROUNDS = 15_000;

/** A server that knows one user, `ann`, by this password. */
function server(password) {
  const salted = pbkdf2Sync(password, SALT, ROUNDS, 32, 'sha256');
  const mac = (key, text) => createHmac('sha256', key).update(text).digest();
  const clientKey = mac(salted, 'Client Key');
  const storedKey = createHash('sha256').update(clientKey).digest();
  const conversations = new Map();
  return listen((command, socket, reply) => {
    if (command.hello || command.isMaster || command.ismaster) return reply(HELLO);
    if (command.saslStart) {
      const bare = text(command.payload).slice('n,,'.length);
      const first = `${/r=.*/.exec(bare)[0]}more,s=${SALT.toString('base64')},i=${ROUNDS}`;
      conversations.set(socket, `${bare},${first}`);
      return reply({ ok: 1, conversationId: 1, done: false, payload: bytes(first) });
    }
    if (command.saslContinue) {
      const [final, proof] = text(command.payload).split(',p=');
      const message = `${conversations.get(socket)},${final}`;
      const signature = mac(storedKey, message);
      const expected = clientKey.map((byte, at) => byte ^ signature[at]);
      if (!Buffer.from(proof, 'base64').equals(expected)) {
        return reply({ ok: 0, code: 18, errmsg: 'Authentication failed.' });
      }
      const own = mac(mac(salted, 'Server Key'), message).toString('base64');
      return reply({ ok: 1, conversationId: 1, done: true, payload: bytes(`v=${own}`) });
    }
    return reply({ ok: 1 });
  });
}

function text({ buffer }) {
  return Buffer.from(buffer).toString();
}

function bytes(said) {
  return new Binary(Buffer.from(said));
}

async function login(port, password) {
  const uri = `mongodb://ann:${encodeURIComponent(password)}@127.0.0.1:${port}/?authMechanism=SCRAM-SHA-256`;
  const client = await connect({ uri, options: { serverMonitoringMode: 'poll' } });
  try {
    return await client.db('admin').runCommand({ ping: 1 });
  } finally {
    await client.close();
  }
}

for (const [title, given, kept] of [
  ['printable ASCII is what it is', 'pencil', 'pencil'],
  ['compatible characters are the same', '\u2168', 'IX'],
  ['a soft hyphen is nothing, and any space is a space', 'I\u00adX\u00a0y', 'IX y'],
]) {
  test(`a password is prepared: ${title}`, async () => {
    const { port, close } = await server(kept);
    try {
      assert.equal((await login(port, given)).ok, 1);
      await assert.rejects(login(port, `${given}!`), (error) => error.kind === 'authentication');
    } finally {
      await close();
    }
  });
}

test('a password with prohibited characters is refused, and not shown', async () => {
  await assert.rejects(login(1, 'secret\u0627\u0007'), (error) => {
    assert.ok(error instanceof AuthenticationError, error);
    assert.match(error.message, /SASLprep/);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
});

test('without the cryptography of the host the key is derived all the same', async (context) => {
  const { port, close } = await server('pencil');
  const derived = context.mock.method(crypto.subtle, 'deriveBits');
  await login(port, 'pencil');
  assert.equal(derived.mock.callCount(), 1, 'where the host has it, it is asked');
  derived.mock.mockImplementation(() => Promise.reject(new Error('not here')));
  assert.equal((await login(port, 'pencil')).ok, 1);
  assert.equal(derived.mock.callCount(), 2);
  await close();
});
