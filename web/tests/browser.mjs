/** Chromium for the tests, and the folder that keeps their screenshots. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { chromium } from 'playwright-core';

/** Screenshots of the latest run: `web` below `PORTOLAN_OUTPUT`, else `web/tests/output`. */
export const output = process.env.PORTOLAN_OUTPUT
  ? join(process.env.PORTOLAN_OUTPUT, 'web')
  : fileURLToPath(new URL('./output/', import.meta.url));

/** What the tests' browser is started with. */
export const FLAGS = [
  // Chromium refuses its sandbox to root, which test machines run as.
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A browser of the machine's own: `PORTOLAN_CHROMIUM`, else Debian's. */
export function executable() {
  return process.env.PORTOLAN_CHROMIUM ?? '/usr/bin/chromium';
}

/** That browser, driven by Playwright. */
export async function launch() {
  mkdirSync(output, { recursive: true });
  return chromium.launch({ executablePath: executable(), args: FLAGS });
}

/** A page whose complaints are collected in `complaints`. */
export async function openPage(browser, url, complaints, options = {}) {
  const page = await browser.newPage(options);
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') {
      complaints.push(`${message.type()}: ${message.text()}`);
    }
  });
  page.on('pageerror', (error) => complaints.push(`uncaught: ${error.message}`));
  await page.goto(url, { waitUntil: 'load' });
  return page;
}
