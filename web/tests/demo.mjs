/** The deployment behind the end-to-end tests: a running bridge, or `portolan demo` started here. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const START_WITHIN_MS = 90_000;

/**
 * `PORTOLAN_BRIDGE_URL` names a bridge in demo mode; else the program `portolan` is `PORTOLAN_BIN`, or
 * the debug build in `PORTOLAN_TARGET`, and its `demo` is started on a free port until `stop`, with
 * `more` arguments.
 */
export async function startDemo(...more) {
  const url = process.env.PORTOLAN_BRIDGE_URL;
  if (url) return { url, isShared: true, stop: async () => {} };
  const program = process.env.PORTOLAN_BIN || built('portolan');
  const dashboard = fileURLToPath(new URL('../dashboard/dist', import.meta.url));
  const child = spawn(program, ['demo', '--port', '0', '--dashboard', dashboard, ...more], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { url: await announced(child, program), isShared: false, stop: () => stop(child) };
}

/** `portolan bridge` with these options, on a free port until `stop`. */
export async function startBridge(options) {
  const program = process.env.PORTOLAN_BIN || built('portolan');
  const child = spawn(program, ['bridge', '--listen', '127.0.0.1:0', '--log-level', 'off', ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return { url: await announced(child, program), stop: () => stop(child) };
}

/** A program of the debug build in `PORTOLAN_TARGET`. */
export function built(name) {
  const { PORTOLAN_TARGET: target } = process.env;
  if (target) return join(target, 'debug', name);
  throw new Error(`set PORTOLAN_TARGET to the folder with debug/${name}`);
}

/** The address that the program prints when all is up. */
function announced(child, program) {
  return new Promise((resolve, reject) => {
    let text = '';
    const late = setTimeout(() => {
      child.kill('SIGTERM');
      reject(new Error(`${program} printed no address in ${START_WITHIN_MS} ms: ${text}`));
    }, START_WITHIN_MS);
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const found = /http:\/\/127\.0\.0\.1:\d+\/?/.exec(text);
      if (found === null) return;
      clearTimeout(late);
      resolve(found[0]);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${program} ended with ${code}: ${text}`)));
  });
}

async function stop(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}
