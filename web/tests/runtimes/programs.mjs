/** Where the runtimes are: `cargo xtask setup --all` installs them into its cache. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** The program `name` (deno, bun, workerd): of `PORTOLAN_RUNTIMES`, else of the cache. */
export function program(name) {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const folder = process.env.PORTOLAN_RUNTIMES ?? join(cache, 'portolan/js-runtimes');
  const file = join(folder, 'node_modules/.bin', name);
  if (!existsSync(file)) throw new Error("no " + file + "; cargo xtask setup --all installs it");
  return file;
}
