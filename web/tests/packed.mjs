/** The package as npm would publish and install it, in a folder of its own. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = fileURLToPath(new URL('..', import.meta.url));

/**
 * A project that depends on the package: packed by `npm pack`, unpacked below `node_modules`, with the
 * `bson` of this folder beside it, so that no registry is asked. `files` are the names in it.
 */
export function install() {
  const folder = mkdtempSync(join(tmpdir(), 'portolan-package-'));
  const modules = join(folder, 'node_modules');
  const home = join(modules, 'portolan');
  mkdirSync(home, { recursive: true });
  const options = { cwd: web, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
  const said = execFileSync('npm', ['pack', '--json', '--pack-destination', folder], options);
  const [{ filename, files }] = list(JSON.parse(said));
  execFileSync('tar', ['xzf', join(folder, filename), '-C', home, '--strip-components=1']);
  cpSync(join(web, 'node_modules/bson'), join(modules, 'bson'), { recursive: true });
  const dependencies = { portolan: '*', bson: '*' };
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', dependencies }));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  return { folder, files: files.map(({ path }) => path), remove };
}

/** npm 11 and older answer a list, later ones an object of packages. */
function list(answer) {
  return Array.isArray(answer) ? answer : Object.values(answer);
}
