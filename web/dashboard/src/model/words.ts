/** The specification's names and times in the words of the page. */
import type {
  FailoverCompleted,
  PortolanEvent,
  PrimaryContested,
  ServerDescription,
  ServerType,
  TopologyDescription,
  TopologyType,
} from 'portolan';

const ROLES: Record<ServerType, string> = {
  Standalone: 'Standalone',
  Mongos: 'Router',
  PossiblePrimary: 'Perhaps primary',
  RSPrimary: 'Primary',
  RSSecondary: 'Secondary',
  RSArbiter: 'Arbiter',
  RSOther: 'Other member',
  RSGhost: 'Ghost',
  LoadBalancer: 'Load balancer',
  Unknown: 'Unknown',
};

const TOPOLOGIES: Record<TopologyType, string> = {
  Single: 'Single server',
  ReplicaSetNoPrimary: 'Replica set without a primary',
  ReplicaSetWithPrimary: 'Replica set with a primary',
  Sharded: 'Sharded cluster',
  LoadBalanced: 'Load balanced',
  Unknown: 'Not discovered yet',
};

export function role(type: ServerType): string {
  return ROLES[type] ?? type;
}

export function topologyWords(type: TopologyType): string {
  return TOPOLOGIES[type] ?? type;
}

/** Whether the client can reach the member at all. */
export function isKnown(server: ServerDescription): boolean {
  return server.type !== 'Unknown' && server.type !== 'PossiblePrimary';
}

/** The part of an address that tells it from its fellows: ":27102", "db1". */
export function shortName(address: string, fellows: readonly string[]): string {
  const [host, port] = split(address);
  const hosts = new Set(fellows.map((fellow) => split(fellow)[0]));
  if (hosts.size === 1) return `:${port}`;
  const label = /[a-z]/i.test(host) ? (host.split('.', 1)[0] ?? host) : host;
  const ports = new Set(fellows.map((fellow) => split(fellow)[1]));
  return ports.size === 1 ? label : `${label}:${port}`;
}

function split(address: string): [host: string, port: string] {
  const colon = address.lastIndexOf(':');
  return colon === -1 ? [address, ''] : [address.slice(0, colon), address.slice(colon + 1)];
}

/** "0.42 ms", "13 ms", "1.3 s". */
export function duration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  if (milliseconds >= 10) return `${milliseconds.toFixed(0)} ms`;
  return `${milliseconds.toFixed(milliseconds < 1 ? 2 : 1)} ms`;
}

/** "now", "4 s", "3 min", "2 h". */
export function age(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h`;
}

/** The groups of the log's filter. */
export type EventGroup = 'topology' | 'server' | 'detail' | 'heartbeat';

/** Changes that leave every type as it was are details: many, and seldom what one looks for. */
export function groupOf(event: PortolanEvent): EventGroup {
  switch (event.kind) {
    case 'topologyDescriptionChanged':
      return sameFleet(event.previousDescription, event.newDescription) ? 'detail' : 'topology';
    case 'serverDescriptionChanged':
      return event.previousDescription.type === event.newDescription.type ? 'detail' : 'server';
    case 'topologyOpening':
    case 'topologyClosed':
    case 'primaryContested':
    case 'failoverCompleted':
    case 'srvRescanned':
      return 'topology';
    case 'serverOpening':
    case 'serverClosed':
    case 'serverSuspected':
    case 'serverTrusted':
      return 'server';
    case 'serverHeartbeatStarted':
    case 'serverHeartbeatSucceeded':
    case 'serverHeartbeatFailed':
      return 'heartbeat';
  }
}

/** Whether type and members are the same. What one member became, its own event tells. */
function sameFleet(before: TopologyDescription, after: TopologyDescription): boolean {
  return (
    before.topologyType === after.topologyType &&
    before.servers.length === after.servers.length &&
    before.servers.every((server, index) => server.address === after.servers[index]?.address)
  );
}

/** Whether the event is bad news, which the log marks. */
export function isAlarm(event: PortolanEvent): boolean {
  switch (event.kind) {
    case 'serverHeartbeatFailed':
    case 'serverSuspected':
      return true;
    case 'serverDescriptionChanged':
      return event.newDescription.type === 'Unknown' && event.newDescription.error !== undefined;
    case 'topologyDescriptionChanged':
      return (
        event.newDescription.topologyType === 'ReplicaSetNoPrimary' &&
        event.previousDescription.topologyType === 'ReplicaSetWithPrimary'
      );
    default:
      return false;
  }
}

/** Whether the deployment as a whole has changed its type: the log prints that bold. */
export function isWeighty(event: PortolanEvent): boolean {
  return (
    event.kind === 'topologyDescriptionChanged' &&
    event.newDescription.topologyType !== event.previousDescription.topologyType
  );
}

/** The event in a few words; its kind and address stand beside it. */
export function summary(event: PortolanEvent): string {
  switch (event.kind) {
    case 'topologyOpening':
      return 'the client starts';
    case 'topologyClosed':
      return 'the client has closed';
    case 'topologyDescriptionChanged':
      return topologyChange(event.previousDescription, event.newDescription);
    case 'serverOpening':
      return 'monitoring begins';
    case 'serverClosed':
      return 'monitoring ends';
    case 'serverDescriptionChanged':
      return serverChange(event.previousDescription, event.newDescription);
    case 'serverHeartbeatStarted':
      return event.awaited ? 'waiting for news' : 'asked';
    case 'serverHeartbeatSucceeded':
      return `${event.awaited ? 'news after' : 'answered in'} ${duration(event.durationMs)}`;
    case 'serverHeartbeatFailed':
      return event.failure;
    case 'serverSuspected':
      return 'suspect: it does not answer';
    case 'serverTrusted':
      return 'trusted again: it answers';
    case 'primaryContested':
      return contest(event);
    case 'failoverCompleted':
      return failover(event);
    case 'srvRescanned':
      return `${event.name}: ${event.hosts.length} hosts`;
  }
}

function contest({ contest: { winner, loser } }: PrimaryContested): string {
  return `two primaries: ${winner ?? 'a newer election'} is believed over ${loser}`;
}

function failover({ timeline }: FailoverCompleted): string {
  const { from, to, electionMs, recoveryMs } = timeline;
  return `${from} → ${to}: election ${duration(electionMs)}, first success ${duration(recoveryMs)} later`;
}

function topologyChange(before: TopologyDescription, after: TopologyDescription): string {
  if (before.topologyType !== after.topologyType) {
    return `${before.topologyType} → ${after.topologyType}`;
  }
  const old = new Map(before.servers.map((server) => [server.address, server]));
  const names = new Set(after.servers.map((server) => server.address));
  const joined = after.servers.filter(({ address }) => !old.has(address));
  const left = before.servers.filter(({ address }) => !names.has(address));
  const changed = after.servers.filter((server) => {
    const previous = old.get(server.address);
    return previous !== undefined && differences(previous, server).length > 0;
  });
  const parts = [
    phrase('joined', joined),
    phrase('left', left),
    phrase('changed', changed),
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'counters of the set changed' : parts.join('; ');
}

function phrase(verb: string, servers: ServerDescription[]): string {
  if (servers.length === 0) return '';
  return `${servers.map((server) => server.address).join(', ')} ${verb}`;
}

function serverChange(before: ServerDescription, after: ServerDescription): string {
  if (before.type !== after.type) return `${before.type} → ${after.type}`;
  return `${after.type}: ${differences(before, after).join(', ')} changed`;
}

/** Readings, which change without an event, and say nothing of the member itself. */
const READINGS = new Set(['roundTripTimeMs', 'minRoundTripTimeMs', 'lastUpdateTimeMs', 'lastWriteDate']);

function differences(before: ServerDescription, after: ServerDescription): string[] {
  const [old, fresh] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  return [...new Set([...old.keys(), ...fresh.keys()])].filter(
    (key) =>
      !READINGS.has(key) && JSON.stringify(old.get(key)) !== JSON.stringify(fresh.get(key)),
  );
}
