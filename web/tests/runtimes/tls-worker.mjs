/** The cases of TLS in workerd, with the module that it must import; without it at `/without`. */
import * as portolan from 'portolan';
import { tlsWasm } from 'portolan/tls';

import { run } from './tls-cases.mjs';

export default {
  async fetch(request) {
    const { name, given } = await request.json();
    const module = new URL(request.url).pathname === '/without' ? undefined : tlsWasm;
    return Response.json(await run(name, portolan, { ...given, tlsWasm: module }));
  },
};
