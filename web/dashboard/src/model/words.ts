/** The specification's names and times in the words of the page. */
import type { PortolanEvent, ServerDescription, ServerType, TopologyType } from 'portolan';

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
export type EventGroup = 'topology' | 'server' | 'heartbeat';

export function groupOf(event: PortolanEvent): EventGroup {
  if (event.kind.startsWith('topology')) return 'topology';
  return event.kind.startsWith('serverHeartbeat') ? 'heartbeat' : 'server';
}

/** Whether the event is bad news, which the log marks. */
export function isAlarm(event: PortolanEvent): boolean {
  switch (event.kind) {
    case 'serverHeartbeatFailed':
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
      return change(event.previousDescription.topologyType, event.newDescription.topologyType);
    case 'serverOpening':
      return 'monitoring begins';
    case 'serverClosed':
      return 'monitoring ends';
    case 'serverDescriptionChanged':
      return change(event.previousDescription.type, event.newDescription.type);
    case 'serverHeartbeatStarted':
      return event.awaited ? 'waiting for news' : 'asked';
    case 'serverHeartbeatSucceeded':
      return `${event.awaited ? 'news after' : 'answered in'} ${duration(event.durationMs)}`;
    case 'serverHeartbeatFailed':
      return event.failure;
  }
}

function change(before: string, after: string): string {
  return before === after ? `still ${after}, other details` : `${before} → ${after}`;
}
