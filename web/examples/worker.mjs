// A Cloudflare Worker. Bindings: URI, a connection string; WATCHER, the Durable Object below.
import { connect } from 'portolan';

/** What requests before have learned; kept as long as this isolate lives. */
let snapshot;

export default {
  async fetch(request, env, context) {
    const { pathname } = new URL(request.url);
    if (pathname === '/watch') return env.WATCHER.get(env.WATCHER.idFromName('one')).fetch(request);
    // No socket may outlive its request, so the client does not either; what it has learned does.
    const client = await connect({ uri: env.URI, monitoring: 'onDemand', snapshot });
    try {
      const visits = client.db('app').collection('visits');
      const signal = AbortSignal.timeout(10_000);
      const options = { upsert: true, signal };
      await visits.updateOne({ _id: pathname }, { $inc: { count: 1 } }, options);
      const visit = await visits.findOne({ _id: pathname }, { signal });
      return Response.json({ ...visit, warm: snapshot !== undefined });
    } finally {
      snapshot = client.snapshot();
      context.waitUntil(client.close());
    }
  },
};

/** One client for all who ask, which watches the deployment all the time. */
export class Watcher {
  constructor(state, env) {
    this.client = connect({ uri: env.URI });
  }

  async fetch() {
    const client = await this.client;
    await client.ping();
    return Response.json(client.topology());
  }
}
