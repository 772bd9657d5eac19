/** Plays scenes in a Durable Object, which may keep timers between its requests. */
import * as cadence from 'cadence/portolan_cadence.js';
import wasm from 'cadence/portolan_cadence_bg.wasm';

cadence.initSync({ module: wasm });

export default {
  fetch(request, env) {
    return env.OBJECT.get(env.OBJECT.idFromName('one')).fetch(request);
  },
};

export class Player {
  async fetch(request) {
    const { call, arguments: given } = await request.json();
    try {
      return Response.json(await cadence[call](...given));
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  }
}
