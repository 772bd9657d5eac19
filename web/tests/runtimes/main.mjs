/** The cases in Node.js, Deno or Bun: a line of input names one, a line of output is its result. */
import { createInterface } from 'node:readline';
import process from 'node:process';

import * as portolan from 'portolan';

import { run } from './cases.mjs';

const addresses = JSON.parse(process.argv[2]);
for await (const name of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await run(name, portolan, addresses)));
}
