/** What the page and the worker say to each other. */
import type { PortolanEvent, ReadPreferenceMode, TopologyDescription } from 'portolan';

/** Page to worker. */
export type ToWorker =
  | { type: 'start'; bridge: string; uri: string }
  | { type: 'insert'; id: number; note: string }
  | { type: 'read'; id: number; mode: ReadPreferenceMode };

/** Worker to page. */
export type FromWorker =
  | { type: 'event'; event: PortolanEvent }
  /** `zeroAt`: the wall-clock time, ms since 1970, at which the client's clock stood at zero. */
  | { type: 'snapshot'; topology: TopologyDescription; zeroAt: number }
  | { type: 'outcome'; id: number; outcome: Outcome }
  | { type: 'failed'; message: string };

/** How an operation of the workbench ended. */
export type Outcome =
  | { ok: true; summary: string; rows: string[]; server: string | null; durationMs: number }
  | { ok: false; message: string; kind: string; durationMs: number };
