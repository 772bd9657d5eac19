/**
 * A simulated deployment for work on the page's looks: `?replay=NAME` on the development server.
 *
 * No part of a built page: `main.tsx` imports it only under `import.meta.env.DEV`.
 */
import type { PortolanEvent, ServerDescription, ServerType, TopologyDescription } from 'portolan';

import { replaceSender, take } from '../feed';
import { demoMembers } from '../model/demo';
import { config } from '../model/state';
import { type Scene, type Step, scenes } from './scenes';

const TOPOLOGY_ID = '66f0c0ffee00000000000001';

/** Plays the scene `name`; steps without a delay come at once. */
export function startReplay(name: string): void {
  const scene = scenes[name] ?? scenes['failover'];
  if (scene === undefined) return;
  config.value = { uri: scene.uri, tunnel: '/tunnel', demo: true, kind: 'simulated' };
  demoMembers.value = new Map(
    scene.servers.map((server, id) => [
      server.address,
      { id, address: server.address, state: server.state ?? 'running' },
    ]),
  );
  new Replay(scene).play();
}

class Replay {
  readonly #zero = Date.now();
  readonly #servers: ServerDescription[];
  #topology: TopologyDescription;

  constructor(readonly scene: Scene) {
    this.#servers = scene.servers.map((server) => blank(server.address));
    this.#topology = { topologyType: 'Unknown', servers: this.#copies() };
  }

  play(): void {
    this.#tell({ ...this.#stamp(), kind: 'topologyOpening' });
    for (const server of this.#servers) {
      this.#tell({ ...this.#stamp(), kind: 'serverOpening', address: server.address });
    }
    for (const step of this.scene.steps) {
      if (step.after === 0) this.#take(step);
      else setTimeout(() => this.#take(step), step.after);
    }
    setInterval(() => this.#beat(), 500);
    replaceSender((message) => {
      if (message.type === 'start') return;
      const rows = ['{"note":"Fair wind from the west","at":{"$date":"2026-01-01T00:00:00Z"}}'];
      const outcome = { ok: true, summary: '1 document', rows, server: null, durationMs: 1.4 };
      setTimeout(
        () => take({ type: 'outcome', id: message.id, outcome: { ...outcome, ok: true } }),
        80,
      );
    });
  }

  #take(step: Step): void {
    const server = this.#servers[step.server];
    if (server === undefined) return;
    const previousDescription = { ...server };
    Object.assign(server, step.becomes, { lastUpdateTimeMs: this.#now() });
    if (step.becomes.error !== undefined) {
      this.#tell({
        ...this.#stamp(),
        kind: 'serverHeartbeatFailed',
        address: server.address,
        awaited: true,
        durationMs: 12,
        failure: step.becomes.error,
      });
    }
    this.#tell({
      ...this.#stamp(),
      kind: 'serverDescriptionChanged',
      address: server.address,
      previousDescription,
      newDescription: { ...server },
    });
    this.#retype();
  }

  #retype(): void {
    const has = (type: ServerType): boolean => this.#servers.some((server) => server.type === type);
    const previousDescription = this.#topology;
    this.#topology = {
      topologyType: has('RSPrimary') ? 'ReplicaSetWithPrimary' : 'ReplicaSetNoPrimary',
      setName: 'rs0',
      servers: this.#copies(),
      logicalSessionTimeoutMinutes: 30,
    };
    this.#tell({
      ...this.#stamp(),
      kind: 'topologyDescriptionChanged',
      previousDescription,
      newDescription: this.#topology,
    });
    this.#snapshot();
  }

  #beat(): void {
    for (const server of this.#servers) {
      if (server.roundTripTimeMs === null) continue;
      server.roundTripTimeMs = 0.35 + Math.random() * 0.3 + (Math.random() > 0.93 ? 1.1 : 0);
      server.lastUpdateTimeMs = this.#now();
      const address = server.address;
      const durationMs = server.roundTripTimeMs;
      this.#tell({
        ...this.#stamp(),
        kind: 'serverHeartbeatSucceeded',
        address,
        awaited: false,
        durationMs,
      });
    }
    this.#snapshot();
  }

  #snapshot(): void {
    take({
      type: 'snapshot',
      topology: { ...this.#topology, servers: this.#copies() },
      zeroAt: this.#zero,
    });
  }

  #copies(): ServerDescription[] {
    return this.#servers.map((server) => ({ ...server }));
  }

  #stamp(): { t_ms: number; topologyId: string } {
    return { t_ms: this.#now(), topologyId: TOPOLOGY_ID };
  }

  #now(): number {
    return Date.now() - this.#zero;
  }

  #tell(event: PortolanEvent): void {
    take({ type: 'event', event });
  }
}

function blank(address: string): ServerDescription {
  return {
    address,
    type: 'Unknown',
    hosts: [],
    passives: [],
    arbiters: [],
    tags: {},
    minWireVersion: 0,
    maxWireVersion: 0,
    roundTripTimeMs: null,
    lastUpdateTimeMs: null,
  };
}
