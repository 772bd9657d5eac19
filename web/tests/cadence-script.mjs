/** Plays scenes in Node.js, Deno or Bun: a line of JSON in, a line out, as `cadence-worker.mjs` does. */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const folder = pathToFileURL(`${process.argv[2]}/`);
const cadence = await import(new URL('portolan_cadence.js', folder));
cadence.initSync({ module: readFileSync(new URL('portolan_cadence_bg.wasm', folder)) });

createInterface({ input: process.stdin }).on('line', async (line) => {
  const { id, call, arguments: given } = JSON.parse(line);
  const say = (outcome) => console.log(JSON.stringify({ id, ...outcome }));
  try {
    say({ value: await cadence[call](...given) });
  } catch (error) {
    say({ error: String(error) });
  }
});
