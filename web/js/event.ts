/**
 * Topology descriptions and the events of discovery and monitoring, with the specification's names.
 *
 * https://github.com/mongodb/specifications/blob/master/source/server-discovery-and-monitoring/server-discovery-and-monitoring-logging-and-monitoring.md
 * Times: `t_ms` and `lastUpdateTimeMs` are milliseconds on the client's own clock, which starts at
 * about zero with the client.
 */

export type ServerType =
  | 'Standalone'
  | 'Mongos'
  | 'PossiblePrimary'
  | 'RSPrimary'
  | 'RSSecondary'
  | 'RSArbiter'
  | 'RSOther'
  | 'RSGhost'
  | 'LoadBalancer'
  | 'Unknown';

export type TopologyType =
  | 'Single'
  | 'ReplicaSetNoPrimary'
  | 'ReplicaSetWithPrimary'
  | 'Sharded'
  | 'LoadBalanced'
  | 'Unknown';

/** What the client believes about one server. */
export interface ServerDescription {
  address: string;
  type: ServerType;
  error?: string;
  hosts: string[];
  passives: string[];
  arbiters: string[];
  tags: Record<string, string>;
  minWireVersion: number;
  maxWireVersion: number;
  setName?: string;
  setVersion?: number;
  electionId?: string;
  primary?: string;
  me?: string;
  /** Milliseconds since 1970. */
  lastWriteDate?: number;
  topologyVersion?: unknown;
  roundTripTimeMs: number | null;
  minRoundTripTimeMs?: number | null;
  /** The server does not answer a liveness probe: operations avoid it while there are others. */
  suspect?: boolean;
  lastUpdateTimeMs: number | null;
}

/** What the client believes about the deployment. */
export interface TopologyDescription {
  topologyType: TopologyType;
  setName?: string;
  maxElectionId?: string;
  maxSetVersion?: number;
  servers: ServerDescription[];
  /** Servers that are no part of it, and why: members of another set, aliases of a member. */
  leftOut?: { address: string; reason: string }[];
  compatibilityError?: string;
  logicalSessionTimeoutMinutes?: number;
}

interface Stamped {
  /** Milliseconds on the client's clock. */
  t_ms: number;
  topologyId: string;
}

interface Heartbeat extends Stamped {
  address: string;
  awaited: boolean;
}

export interface TopologyOpening extends Stamped {
  kind: 'topologyOpening';
}
export interface TopologyDescriptionChanged extends Stamped {
  kind: 'topologyDescriptionChanged';
  previousDescription: TopologyDescription;
  newDescription: TopologyDescription;
}
export interface TopologyClosed extends Stamped {
  kind: 'topologyClosed';
}
export interface ServerOpening extends Stamped {
  kind: 'serverOpening';
  address: string;
}
export interface ServerDescriptionChanged extends Stamped {
  kind: 'serverDescriptionChanged';
  address: string;
  previousDescription: ServerDescription;
  newDescription: ServerDescription;
}
export interface ServerClosed extends Stamped {
  kind: 'serverClosed';
  address: string;
}
export interface ServerHeartbeatStarted extends Heartbeat {
  kind: 'serverHeartbeatStarted';
}
export interface ServerHeartbeatSucceeded extends Heartbeat {
  kind: 'serverHeartbeatSucceeded';
  durationMs: number;
}
export interface ServerHeartbeatFailed extends Heartbeat {
  kind: 'serverHeartbeatFailed';
  durationMs: number;
  failure: string;
}

/** A server does not answer a liveness probe. */
export interface ServerSuspected extends Stamped {
  kind: 'serverSuspected';
  address: string;
}
/** A suspected server has answered. */
export interface ServerTrusted extends Stamped {
  kind: 'serverTrusted';
  address: string;
}
/** Two servers claim to be the primary. */
export interface PrimaryContested extends Stamped {
  kind: 'primaryContested';
  contest: { winner: string | null; greatest: string; loser: string; claim: string };
}
/** A failover is over: the first operation has succeeded on the new primary. */
export interface FailoverCompleted extends Stamped {
  kind: 'failoverCompleted';
  timeline: {
    from: string;
    to: string;
    detection: string;
    detectedMs: number;
    newPrimaryMs: number;
    firstSuccessMs: number;
    detectionAtMostMs: number;
    electionMs: number;
    recoveryMs: number;
    slowest: 'detection' | 'election' | 'recovery';
  };
}
/** The SRV records that the seeds came from were looked up again. */
export interface SrvRescanned extends Stamped {
  kind: 'srvRescanned';
  name: string;
  hosts: string[];
  problems: string[];
  nextMs: number;
}

/** Every event of a client. */
export type PortolanEvent =
  | TopologyOpening
  | TopologyDescriptionChanged
  | TopologyClosed
  | ServerOpening
  | ServerDescriptionChanged
  | ServerClosed
  | ServerHeartbeatStarted
  | ServerHeartbeatSucceeded
  | ServerHeartbeatFailed
  | ServerSuspected
  | ServerTrusted
  | PrimaryContested
  | FailoverCompleted
  | SrvRescanned;
