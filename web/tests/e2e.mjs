/**
 * The dashboard against a real replica set, through the bridge, in Chromium.
 *
 * Nothing here waits for time to pass: each step waits for the page to show a state.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

import { launch, openPage, output } from './browser.mjs';
import { startDemo } from './demo.mjs';

/** Longer than an election and a rediscovery together, on a slow machine. */
const PATIENCE = 45_000;
const complaints = [];
let demo;
let browser;
let page;

before(async () => {
  demo = await startDemo();
  browser = await launch();
  page = await openPage(browser, demo.url, complaints, { viewport: { width: 1280, height: 1000 } });
  page.setDefaultTimeout(PATIENCE);
});

after(async () => {
  await browser?.close();
  await demo?.stop();
});

test('the page shows three members and the primary', async () => {
  const first = await wholeSet();
  assert.match(first, /^127\.0\.0\.1:\d+$/);
  assert.equal(await count('[data-testid=member][data-type=RSPrimary]'), 1);
  assert.equal(await count('[data-testid=member][data-type=RSSecondary]'), 2);
  assert.equal(await count('svg .harbour'), 3);
  assert.equal(await count('svg .harbour-RSPrimary .pennant'), 1);
  await page.waitForSelector('[data-testid=topology][data-type=ReplicaSetWithPrimary]');
  await keep('three-members');
});

test('round-trip times, the age of the last heartbeat and how far secondaries are behind are shown', async () => {
  await page.waitForFunction(() => {
    const readings = [...document.querySelectorAll('[data-testid=member] dd')];
    return readings.length === 8 && readings.every((reading) => reading.textContent !== '–');
  });
});

test('a write and a read from the page succeed', async () => {
  await write('from the first test');
  await page.selectOption('#mode', 'secondaryPreferred');
  await page.getByRole('button', { name: 'Read', exact: true }).click();
  const read = page.locator('[data-testid=attempt][data-state=done]').first();
  await read.locator('pre').waitFor();
  await read.getByText('find, secondaryPreferred').waitFor();
});

test('a read from the primary shows what was just written', async () => {
  const note = `note ${Date.now()}`;
  await write(note);
  await page.selectOption('#mode', 'primary');
  await page.getByRole('button', { name: 'Read', exact: true }).click();
  await page.locator('[data-testid=attempt] pre', { hasText: note }).first().waitFor();
});

test('SIGKILL of the primary: the page shows the new one, and a write succeeds', async () => {
  const old = await wholeSet();
  await act(old, 'Kill');
  await write('while the primary is dead');
  const next = await otherPrimary(old);
  assert.notEqual(next, old);
  await page.waitForSelector(card(old, 'Unknown'));
  await write('after the failover');
  await page.locator('.entry[data-kind=serverHeartbeatFailed]').first().waitFor();
  await keep('after-kill');
  await act(old, 'Restart');
  await wholeSet();
});

test('a frozen primary is displaced, and comes back when thawed', async () => {
  const old = await wholeSet();
  await act(old, 'Freeze');
  const next = await otherPrimary(old);
  assert.notEqual(next, old);
  await write('while the old primary is frozen');
  await keep('frozen');
  await act(old, 'Thaw');
  await wholeSet();
});

test('stepping down moves the primary', async () => {
  const old = await wholeSet();
  await act(old, 'Step down');
  assert.notEqual(await otherPrimary(old), old);
  await write('after the step-down');
  await wholeSet();
});

test('the logbook filters and opens by keyboard', async () => {
  const heartbeats = page.getByRole('button', { name: 'Heartbeats' });
  await heartbeats.focus();
  await page.keyboard.press('Enter');
  await page.locator('.entry[data-kind=serverHeartbeatSucceeded]').first().waitFor();
  await page.getByRole('searchbox').fill('ReplicaSetWithPrimary');
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.entry')].every((entry) =>
      entry.textContent.includes('ReplicaSetWithPrimary'),
    ),
  );
  await page.locator('.entry summary').first().focus();
  await page.keyboard.press('Enter');
  await page.locator('.entry pre', { hasText: 'newDescription' }).first().waitFor();
});

for (const width of [360, 768, 1280]) {
  for (const colorScheme of ['light', 'dark']) {
    test(`the layout holds at ${width} px, ${colorScheme}`, async () => {
      const viewport = { width, height: 900 };
      const narrow = await openPage(browser, demo.url, complaints, { viewport, colorScheme });
      narrow.setDefaultTimeout(PATIENCE);
      await narrow.waitForSelector('svg .harbour-RSPrimary');
      await narrow.waitForFunction(
        () => document.querySelectorAll('[data-testid=member]').length === 3,
      );
      const spill = await narrow.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      assert.equal(spill, 0, 'the page scrolls sideways');
      const path = join(output, `layout-${width}-${colorScheme}.png`);
      await narrow.screenshot({ path, fullPage: true });
      await narrow.close();
    });
  }
}

test('nothing complained on the console', () => {
  assert.deepEqual(complaints, []);
});

test('a bridge without configuration is said plainly', async () => {
  const context = await browser.newContext();
  await context.route('**/config.json', (route) => route.fulfill({ status: 503, body: '' }));
  const lost = await openPage(context, demo.url, []);
  await lost.getByRole('alert').getByText('config.json').waitFor();
  await context.close();
});

test('when the bridge goes away, the page shows that nobody answers', async (context) => {
  if (demo.isShared) return context.skip('the bridge is not ours to stop');
  await demo.stop();
  await page.waitForFunction(
    () => document.querySelectorAll('[data-testid=member][data-type=Unknown]').length === 3,
  );
  await page.waitForSelector('[data-testid=primary][data-address=""]');
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.actions button')].every((button) => button.disabled),
  );
  await keep('bridge-away');
});

/** Waits until every member answers and one leads; the leader's address. */
async function wholeSet() {
  await page.waitForFunction(
    () =>
      document.querySelectorAll('[data-testid=member]:not([data-type=Unknown])').length === 3 &&
      document.querySelector('[data-testid=primary]').dataset.address !== '',
  );
  return primary();
}

function primary() {
  return page.getAttribute('[data-testid=primary]', 'data-address');
}

async function otherPrimary(old) {
  await page.waitForFunction((before) => {
    const { address } = document.querySelector('[data-testid=primary]').dataset;
    return address !== '' && address !== before;
  }, old);
  return primary();
}

function card(address, type) {
  const ofType = type === undefined ? '' : `[data-type=${type}]`;
  return `[data-testid=member][data-address="${address}"]${ofType}`;
}

/** Presses a demo button of a member, once it can be pressed. */
async function act(address, label) {
  await page.locator(card(address)).getByRole('button', { name: label }).click();
}

/** Writes `note` from the page and waits for that very write to be acknowledged. */
async function write(note) {
  const done = await newestAttempt();
  await page.fill('#note', note);
  await page.getByRole('button', { name: 'Write' }).click();
  const row = await page.waitForFunction((before) => {
    const newest = document.querySelector('[data-testid=attempt]');
    const { state, attempt } = newest?.dataset ?? {};
    return Number(attempt) > before && state !== 'pending' ? newest.innerText : false;
  }, done);
  const text = await row.jsonValue();
  assert.match(text, /insertOne[\s\S]*inserted/);
}

async function newestAttempt() {
  const rows = page.locator('[data-testid=attempt]');
  if ((await rows.count()) === 0) return 0;
  return Number(await rows.first().getAttribute('data-attempt'));
}

function count(selector) {
  return page.locator(selector).count();
}

async function keep(name) {
  await page.evaluate(() => window.scrollTo(0, 0));
  return page.screenshot({ path: join(output, `${name}.png`) });
}
