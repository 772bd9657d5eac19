/** Where the specification's test files are: read at run time, never vendored (their licence). */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder that holds `bson-corpus`, `server-discovery-and-monitoring` and the others. */
export function specifications() {
  const workspace = fileURLToPath(new URL('../..', import.meta.url));
  const roots = [process.env.MONGODB_SPECIFICATIONS, resolve(workspace, '../shared/specifications')];
  for (const root of roots.filter(Boolean)) {
    for (const folder of [join(root, 'source'), root]) {
      if (existsSync(join(folder, 'bson-corpus'))) return folder;
    }
  }
  throw new Error('set MONGODB_SPECIFICATIONS to a clone of github.com/mongodb/specifications');
}
