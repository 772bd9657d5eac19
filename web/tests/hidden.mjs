/**
 * A page that Chromium counts as hidden: behind another tab, with all that this means for its timers.
 *
 * Playwright makes every page believe that it is seen, and switches the throttling of the others off;
 * so the browser is driven here by its own protocol, over the pipe that it offers.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { FLAGS, executable } from './browser.mjs';

/** Opens `url`, and another tab before it; `call(text)` evaluates an expression in the hidden page. */
export async function openHidden(url) {
  const profile = mkdtempSync(join(tmpdir(), 'portolan-hidden-'));
  const words = ['--headless', '--remote-debugging-pipe', `--user-data-dir=${profile}`, ...FLAGS];
  const child = spawn(executable(), words, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
  const send = protocol(child);
  const close = async () => {
    const ended = once(child, 'exit');
    await send('Browser.close');
    await ended;
    rmSync(profile, { recursive: true, force: true });
  };
  try {
    const { targetId } = await send('Target.createTarget', { url });
    const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
    await send('Target.createTarget', { url: 'about:blank' });
    const call = async (expression) => {
      const given = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await send('Runtime.evaluate', given, sessionId);
      if (exceptionDetails === undefined) return result.value;
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    };
    const deadline = Date.now() + 20_000;
    const ready = '`${document.visibilityState} ${document.readyState} ${location.href}`';
    while ((await call(ready)) !== `hidden complete ${url}`) {
      if (Date.now() > deadline) throw new Error('the page is not hidden');
    }
    return { call, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Messages end with a zero; the answer to each is told by its number. */
function protocol(child) {
  const [, , , input, output] = child.stdio;
  const waiting = new Map();
  let text = '';
  output.setEncoding('utf8').on('data', (chunk) => {
    const parts = (text + chunk).split('\0');
    text = parts.pop();
    for (const part of parts) {
      const { id, result, error } = JSON.parse(part);
      const { done, failed } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (error) failed?.(new Error(error.message));
      else done?.(result);
    }
  });
  child.once('exit', () => {
    for (const { failed } of waiting.values()) failed(new Error('the browser has ended'));
  });
  let last = 0;
  return (method, params = {}, sessionId) =>
    new Promise((done, failed) => {
      last += 1;
      waiting.set(last, { done, failed });
      input.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
    });
}
