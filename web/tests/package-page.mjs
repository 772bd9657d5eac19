/** A page of the bridge's own origin that has imported the npm package from this folder. */
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { openPage } from './browser.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const FOLDER = '/npm-package';
const TYPES = { '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

const PAGE = `<!doctype html><title>package</title><link rel="icon" href="data:,">
<script type="importmap">{"imports": {
  "bson": "${FOLDER}/node_modules/bson/lib/bson.mjs",
  "#wasm": "${FOLDER}/pkg/portolan_web.js"
}}</script>
<script type="module">
  import * as portolan from '${FOLDER}/dist/index.js';
  window.portolan = portolan;
</script>`;

/** `window.portolan` is the package. The bridge's origin matters: it refuses others. */
export async function packagePage(browser, url, complaints) {
  const context = await browser.newContext();
  await context.route(`**${FOLDER}/**`, (route) => {
    const { pathname } = new URL(route.request().url());
    const name = pathname.slice(FOLDER.length);
    if (name === '/') return route.fulfill({ contentType: 'text/html', body: PAGE });
    const contentType = TYPES[extname(name)];
    return route.fulfill({ contentType, body: readFileSync(join(root, name)) });
  });
  const page = await openPage(context, new URL(`${FOLDER}/`, url).href, complaints);
  await page.waitForFunction(() => window.portolan !== undefined);
  return page;
}
