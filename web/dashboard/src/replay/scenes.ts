/** The scenes of the simulated feed. */
import type { ServerDescription, ServerType } from 'portolan';

import type { MemberState } from '../model/demo';

export interface Step {
  /** Milliseconds from the start. */
  after: number;
  /** Position in `servers`. */
  server: number;
  becomes: Partial<ServerDescription>;
}

export interface Scene {
  uri: string;
  servers: { address: string; state?: MemberState }[];
  steps: Step[];
}

const HOSTS = ['127.0.0.1:27101', '127.0.0.1:27102', '127.0.0.1:27103'];
const REFUSED = 'connection refused (os error 111)';

function up(server: number, type: ServerType, after = 0, tags = {}): Step {
  return {
    after,
    server,
    becomes: {
      type,
      setName: 'rs0',
      hosts: HOSTS,
      tags,
      maxWireVersion: 17,
      roundTripTimeMs: 0.42,
    },
  };
}

function down(server: number, after = 0): Step {
  return { after, server, becomes: { type: 'Unknown', error: REFUSED, roundTripTimeMs: null } };
}

const three = [
  up(0, 'RSPrimary', 0, { dc: 'lisboa', disk: 'ssd' }),
  up(1, 'RSSecondary', 0, { dc: 'genova' }),
  up(2, 'RSSecondary', 0, { dc: 'mallorca' }),
];

const members = HOSTS.map((address) => ({ address }));
const uri = `mongodb://${HOSTS.join(',')}/?replicaSet=rs0`;

export const scenes: Record<string, Scene> = {
  steady: { uri, servers: members, steps: three },
  failover: {
    uri,
    servers: members.map((member, index) => (index === 0 ? { ...member, state: 'stopped' } : member)),
    steps: [...three, down(0, 1500), up(2, 'RSPrimary', 3500, { dc: 'mallorca' })],
  },
  noPrimary: { uri, servers: members, steps: [...three, down(0, 200)] },
  opening: { uri, servers: members, steps: [] },
  seven: {
    uri,
    servers: Array.from({ length: 7 }, (_, index) => ({ address: `db${index}.example.net:27017` })),
    steps: [
      up(0, 'RSSecondary'),
      up(1, 'RSSecondary'),
      up(2, 'RSPrimary'),
      up(3, 'RSArbiter'),
      up(4, 'RSOther'),
      up(5, 'RSSecondary'),
      down(6),
    ],
  },
};
