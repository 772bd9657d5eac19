/** The cases in workerd: on demand in the fetch handler, in the background in a Durable Object. */
import * as portolan from 'portolan';

import { run } from './cases.mjs';

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname !== '/object') return answer(request);
    return env.OBJECT.get(env.OBJECT.idFromName('one')).fetch(request);
  },
};

export class Runner {
  fetch(request) {
    return answer(request);
  }
}

async function answer(request) {
  const { name, addresses } = await request.json();
  return Response.json(await run(name, portolan, addresses));
}
