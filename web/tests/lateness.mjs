/** How late heartbeats start in JavaScript runtimes: a row of the table each. */
import { RUNTIMES } from './cadence-module.mjs';

const seconds = Number(process.argv[2] ?? 30);
for (const { name, open } of RUNTIMES) {
  const runtime = await open();
  try {
    console.log(await runtime.call('lateness', name, seconds));
  } finally {
    await runtime.close();
  }
}
