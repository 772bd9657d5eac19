/** A page of the bridge's own origin that has imported the npm package from this folder. */
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { openPage } from './browser.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = '/npm-package';
const TYPES = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

const IMPORTS = {
  imports: {
    portolan: `${FOLDER}/dist/index.js`,
    bson: `${FOLDER}/node_modules/bson/lib/bson.mjs`,
    '#wasm': `${FOLDER}/pkg/portolan_web.js`,
    '#tls': `${FOLDER}/pkg/portolan_tls.js`,
  },
};

/**
 * `window.portolan` is the package.
 *
 * The document is one that the bridge itself serves: a page made up by the test runner would count as
 * one from the public internet, which Chromium keeps away from loopback addresses.
 */
export async function packagePage(browser, url, complaints) {
  const context = await browser.newContext({ bypassCSP: true });
  await context.route(`**${FOLDER}/**`, (route) => {
    const { pathname } = new URL(route.request().url());
    const name = pathname.slice(FOLDER.length);
    return route.fulfill({
      contentType: TYPES[extname(name)],
      body: readFileSync(join(root, name)),
    });
  });
  const page = await openPage(context, new URL('/healthz', url).href, complaints);
  await page.addScriptTag({ type: 'importmap', content: JSON.stringify(IMPORTS) });
  const content = `import * as portolan from '${FOLDER}/dist/index.js'; window.portolan = portolan;`;
  await page.addScriptTag({ type: 'module', content });
  await page.waitForFunction(() => window.portolan !== undefined);
  return page;
}
