/** The set behind the cases: real members, a bridge, and a door through which cases act on members. */
import { createServer } from 'node:http';
import { createServer as listen } from 'node:net';

import { startDemo } from '../demo.mjs';

/** Longer than an election and a rediscovery together, on a slow machine. */
const PATIENCE_MS = 60_000;

/** Starts it, with `more` arguments of the demo; `addresses` are what a case is given, `whole()` waits until every member is back. */
export async function startSet(...more) {
  const demo = await startDemo(...more);
  const { uri, kind } = await (await fetch(new URL('/config.json', demo.url))).json();
  if (!kind.startsWith('mongod')) {
    await demo.stop();
    throw new Error(`a real set is wanted, not ${kind}`);
  }
  const door = createServer((request, response) => {
    const { searchParams } = new URL(request.url, 'http://door');
    const [action, address] = [searchParams.get('action'), searchParams.get('address')];
    const answer = (status, text) => {
      // Pages of another origin ask too.
      response.writeHead(status, { 'access-control-allow-origin': '*' }).end(text);
    };
    act(demo.url, action, address).then(
      () => answer(200, 'done'),
      (error) => answer(500, error.message),
    );
  });
  await new Promise((listening) => door.listen(0, '127.0.0.1', listening));
  const control = `http://127.0.0.1:${door.address().port}/`;
  const stop = async () => {
    door.close();
    door.closeAllConnections();
    await demo.stop();
  };
  return { url: demo.url, addresses: { uri, control, unused: await freePort() }, stop };
}

async function act(url, action, address) {
  const members = await (await fetch(new URL('/demo/members', url))).json();
  const member = members.find((one) => one.address === address);
  if (member === undefined) throw new Error(`no member ${address}`);
  const response = await fetch(new URL(`/demo/members/${member.id}/${action}`, url), {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: new URL(url).origin },
  });
  if (!response.ok) throw new Error(await response.text());
}

/** Waits until `client` knows a primary and two secondaries. */
export async function whole(client) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const types = client.topology().servers.map(({ type }) => type).sort();
    if (types.join() === 'RSPrimary,RSSecondary,RSSecondary') return;
    if (Date.now() > deadline) throw new Error(`the set is not whole: ${types}`);
    await new Promise((later) => setTimeout(later, 50));
  }
}

/** A port where nobody listens. */
async function freePort() {
  const server = listen();
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}
