/** The cases of TLS in Node.js, Deno or Bun: a line of input is a case, a line of output its result. */
import { createInterface } from 'node:readline';
import process from 'node:process';

import * as portolan from 'portolan';
import { tlsWasm } from 'portolan/tls';

import { run } from './tls-cases.mjs';

for await (const line of createInterface({ input: process.stdin })) {
  const { name, given } = JSON.parse(line);
  console.log(JSON.stringify(await run(name, portolan, { ...given, tlsWasm })));
}
