/** What the page knows: signals, and the functions that change them. */
import { computed, signal } from '@preact/signals';
import type { PortolanEvent, ServerDescription, TopologyDescription } from 'portolan';

import type { Outcome } from '../worker/protocol';

/** What the bridge says of itself in `/config.json`. */
export interface BridgeConfig {
  uri: string;
  tunnel: string;
  demo: boolean;
  kind: string | null;
}

export interface LogEntry {
  id: number;
  event: PortolanEvent;
  /** Says no more than the entry before it about this member: a failure that goes on. */
  repeats: boolean;
}

/** Round-trip times of one member, oldest first; `rtt` is null while the member is unknown. */
export interface History {
  /** Seconds since 1970. */
  at: number[];
  /** Milliseconds. */
  rtt: (number | null)[];
}

export interface Attempt {
  id: number;
  title: string;
  outcome: Outcome | null;
}

export const config = signal<BridgeConfig | null>(null);
export const failure = signal<string | null>(null);
export const topology = signal<TopologyDescription | null>(null);
export const log = signal<LogEntry[]>([]);
export const attempts = signal<Attempt[]>([]);
/** How often each member answered a heartbeat, and when last, in ms on the client's clock. */
export const beats = signal<ReadonlyMap<string, { count: number; at: number }>>(new Map());
export const histories = signal<ReadonlyMap<string, History>>(new Map());
/** Wall-clock time of the client's zero, ms since 1970. */
export const zeroAt = signal(0);
/** Wall-clock time, ms since 1970; ages count by it. */
export const now = signal(Date.now());

/** Members in a stable order, so that nothing on the page jumps when roles change. */
export const members = computed<ServerDescription[]>(() =>
  [...(topology.value?.servers ?? [])].sort((a, b) => collate(a.address, b.address)),
);

export const addresses = computed(() => members.value.map((member) => member.address));

export const primary = computed(
  () => members.value.find((member) => member.type === 'RSPrimary') ?? null,
);

const LOG_KEPT = 600;
const HISTORY_SECONDS = 90;
const ATTEMPTS_KEPT = 6;

let nextId = 0;

/** Takes one event in. */
export function record(event: PortolanEvent): void {
  nextId += 1;
  const entries = [{ id: nextId, event, repeats: isRepeated(event) }, ...log.value];
  if (entries.length > LOG_KEPT) entries.splice(oldestToDrop(entries), 1);
  log.value = entries;
  if (event.kind === 'serverHeartbeatSucceeded') {
    const counts = new Map(beats.value);
    const count = (counts.get(event.address)?.count ?? 0) + 1;
    counts.set(event.address, { count, at: event.t_ms });
    beats.value = counts;
  }
}

/** The failure that each member's heartbeats now end in. */
const failures = new Map<string, string>();

function isRepeated(event: PortolanEvent): boolean {
  if (event.kind === 'serverHeartbeatSucceeded') failures.delete(event.address);
  if (event.kind !== 'serverHeartbeatFailed') return false;
  const repeated = failures.get(event.address) === event.failure;
  failures.set(event.address, event.failure);
  return repeated;
}

/** Heartbeats are many and changes are few: the oldest heartbeat goes first. */
function oldestToDrop(entries: LogEntry[]): number {
  for (let index = entries.length - 1; index >= 0; index -= 1) {
    if (entries[index]?.event.kind.startsWith('serverHeartbeat')) return index;
  }
  return entries.length - 1;
}

/** Takes in what the client believes at the moment. */
export function observe(description: TopologyDescription, clockZero: number): void {
  topology.value = description;
  zeroAt.value = clockZero;
  const at = Date.now() / 1000;
  const next = new Map<string, History>();
  for (const server of description.servers) {
    const old = histories.value.get(server.address) ?? { at: [], rtt: [] };
    next.set(server.address, extended(old, at, server.roundTripTimeMs));
  }
  histories.value = next;
}

/** At most four samples a second: a burst of snapshots must not grow the history. */
function extended(history: History, at: number, rtt: number | null): History {
  const last = history.at.at(-1);
  if (last !== undefined && at - last < 0.25) return history;
  const first = history.at.findIndex((time) => time >= at - HISTORY_SECONDS);
  const from = first === -1 ? history.at.length : first;
  return { at: [...history.at.slice(from), at], rtt: [...history.rtt.slice(from), rtt] };
}

/** Notes that an operation has begun. */
export function begin(id: number, title: string): void {
  attempts.value = [{ id, title, outcome: null }, ...attempts.value].slice(0, ATTEMPTS_KEPT);
}

/** Notes how an operation ended. */
export function finish(id: number, outcome: Outcome): void {
  attempts.value = attempts.value.map((entry) => (entry.id === id ? { ...entry, outcome } : entry));
}

const collator = new Intl.Collator('en', { numeric: true });

function collate(a: string, b: string): number {
  return collator.compare(a, b);
}
