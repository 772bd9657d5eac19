/** Starts the client in its worker and carries what it says into the page's state. */
import type { ReadPreferenceMode } from 'portolan';

import { type BridgeConfig, begin, config, failure, finish, observe, record } from './model/state';
import { watchDemo } from './model/demo';
import type { FromWorker, ToWorker } from './worker/protocol';

/** What the workbench can ask for. */
export interface Operations {
  insert(note: string): void;
  read(mode: ReadPreferenceMode): void;
}

let send: (message: ToWorker) => void = () => undefined;
let nextId = 0;

export const operations: Operations = {
  insert(note) {
    nextId += 1;
    begin(nextId, 'insertOne');
    send({ type: 'insert', id: nextId, note });
  },
  read(mode) {
    nextId += 1;
    begin(nextId, `find, ${mode}`);
    send({ type: 'read', id: nextId, mode });
  },
};

/** Reads the bridge's configuration and starts the client. */
export async function startFeed(): Promise<void> {
  try {
    const response = await fetch('config.json');
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    config.value = (await response.json()) as BridgeConfig;
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    failure.value = `The bridge does not tell its configuration (config.json: ${reason}).`;
    return;
  }
  const worker = new Worker(new URL('./worker/client.worker.ts', import.meta.url), {
    type: 'module',
  });
  worker.addEventListener('message', (message: MessageEvent<FromWorker>) => take(message.data));
  worker.addEventListener('error', (event) => {
    failure.value = `The client's worker stopped: ${event.message}`;
  });
  send = (message) => worker.postMessage(message);
  const bridge = new URL(config.value.tunnel, document.baseURI).href;
  send({ type: 'start', bridge, uri: config.value.uri });
  if (config.value.demo) watchDemo();
}

/** Takes one message of the worker in. */
export function take(message: FromWorker): void {
  switch (message.type) {
    case 'event':
      return record(message.event);
    case 'snapshot':
      return observe(message.topology, message.zeroAt);
    case 'outcome':
      return finish(message.id, message.outcome);
    case 'failed':
      failure.value = message.message;
  }
}

/** Lets a replay stand in for the worker; used by the development server only. */
export function replaceSender(sender: (message: ToWorker) => void): void {
  send = sender;
}
