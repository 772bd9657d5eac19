/** A page of our own for modules that a build has made: loopback only, any free port. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';

const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/**
 * Serves `html` as `/`, and below it the modules of the folders, the first that has one.
 *
 * Answers the page's address and how to stop.
 */
export async function serve(html, folders) {
  const roots = folders.map((folder) => resolve(folder));
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://127.0.0.1');
    if (pathname === '/') return reply(response, 'text/html', html);
    const type = TYPES[extname(pathname)];
    const body = type === undefined ? undefined : find(roots, pathname);
    return body === undefined ? response.writeHead(404).end() : reply(response, type, body);
  });
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const close = () => {
    server.close();
    // A browser keeps its connections for later.
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${server.address().port}/`, close };
}

function find(roots, pathname) {
  for (const root of roots) {
    const file = resolve(join(root, pathname));
    if (!file.startsWith(root + sep)) continue;
    try {
      return readFileSync(file);
    } catch {
      // The next folder may have it.
    }
  }
  return undefined;
}

function reply(response, type, body) {
  response.writeHead(200, { 'content-type': type }).end(body);
}
