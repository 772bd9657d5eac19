/** A real set of one member that speaks TLS and plain, its certificates, and a wire that is recorded. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect as dial, createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';

import { connect } from '../../dist/node.js';

const START_WITHIN_MS = 60_000;

/**
 * Starts it. Its one member is called `localhost:port`, where the recorded wire begins; `pem` are the
 * texts of certificates, `ca` the file of the authority; `wire` is all that went over it since `clear`.
 */
export async function startSecure() {
  const folder = mkdtempSync(join(tmpdir(), 'portolan-secure-'));
  const pem = certificates(folder);
  const server = await startServer(folder);
  const wire = await record(server.port);
  const stop = async () => {
    await server.stop();
    wire.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await initiate(wire.port);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port: wire.port, pem, ca: join(folder, 'ca.pem'), wire, stop };
}

/** An authority, a server of the name localhost, a client, and an authority that nobody knows. */
function certificates(folder) {
  const openssl = (...words) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  for (const name of ['ca', 'other']) {
    openssl('req', '-x509', ...curve, '-days', '2', '-subj', `/CN=${name} of the tests`,
      '-keyout', `${name}.key`, '-out', `${name}.pem`, '-addext', 'keyUsage=critical,keyCertSign');
  }
  const ends = { server: 'serverAuth,clientAuth', client: 'clientAuth' };
  for (const [name, usage] of Object.entries(ends)) {
    const more = `subjectAltName=DNS:localhost\nextendedKeyUsage=${usage}\n`;
    writeFileSync(join(folder, `${name}.ext`), more);
    openssl('req', ...curve, '-subj', `/O=Portolan/OU=${name}/CN=${name}`,
      '-keyout', `${name}.key`, '-out', `${name}.csr`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial',
      '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.crt`);
    const both = ['crt', 'key'].map((kind) => readFileSync(join(folder, `${name}.${kind}`), 'utf8'));
    writeFileSync(join(folder, `${name}.pem`), both.join(''));
  }
  const text = (name) => readFileSync(join(folder, `${name}.pem`), 'utf8');
  return { ca: text('ca'), other: text('other'), client: text('client') };
}

/** `$PORTOLAN_MONGOD`, else the newest of the cache. */
function mongod() {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'portolan/mongod');
  if (process.env.PORTOLAN_MONGOD) return process.env.PORTOLAN_MONGOD;
  for (const version of readdirSync(cache).sort().reverse()) {
    const file = join(cache, version, 'mongod');
    if (existsSync(file)) return file;
  }
  throw new Error(`no mongod below ${cache}; cargo xtask setup installs it`);
}

async function startServer(folder) {
  const data = join(folder, 'data');
  mkdirSync(data);
  // Somebody else may take a port between its choice and its use.
  for (let attempt = 0; ; attempt += 1) {
    const port = await freePort();
    const child = spawn(mongod(), [
      '--replSet', 'rs0', '--port', String(port), '--bind_ip', '127.0.0.1', '--dbpath', data,
      '--nounixsocket', '--oplogSize', '32', '--wiredTigerCacheSizeGB', '0.25',
      '--tlsMode', 'preferTLS', '--tlsCertificateKeyFile', join(folder, 'server.pem'),
      '--tlsCAFile', join(folder, 'ca.pem'), '--tlsAllowConnectionsWithoutCertificates',
    ], { stdio: ['ignore', 'pipe', 'inherit'] });
    const stop = async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    };
    if (await waits(child)) return { port, stop };
    await stop();
    if (attempt === 3) throw new Error('no mongod starts');
  }
}

/** Whether the server says that it listens, before it ends. */
function waits(child) {
  return new Promise((answer) => {
    const late = setTimeout(() => answer(false), START_WITHIN_MS);
    const end = (verdict) => {
      clearTimeout(late);
      answer(verdict);
    };
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      text = (text + chunk).slice(-10_000);
      if (text.includes('Waiting for connections')) end(true);
    });
    child.once('exit', () => end(false));
    child.once('error', () => end(false));
  });
}

async function initiate(port) {
  const uri = `mongodb://localhost:${port}/?directConnection=true`;
  const client = await connect({ uri });
  try {
    const members = [{ _id: 0, host: `localhost:${port}` }];
    const admin = client.db('admin');
    const command = { replSetInitiate: { _id: 'rs0', members } };
    await admin.runCommand(command, { readPreference: 'nearest' });
    // The client waits for the election.
    const set = await connect({ uri: `mongodb://localhost:${port}/?replicaSet=rs0` });
    await set.db('tls').collection('notes').insertOne({ _id: 'first' });
    await set.close();
  } finally {
    await client.close();
  }
}

/** A wire to `port` whose bytes, of both directions, are kept. */
export async function record(port) {
  let chunks = [];
  const open = new Set();
  const server = createServer((near) => {
    const far = dial(port, '127.0.0.1');
    for (const [from, to] of [[near, far], [far, near]]) {
      open.add(from);
      from.on('data', (chunk) => {
        chunks.push(chunk);
        to.write(chunk);
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
      from.on('close', () => {
        open.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    port: server.address().port,
    bytes: () => Buffer.concat(chunks),
    clear: () => void (chunks = []),
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

async function freePort() {
  const server = createServer();
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}
