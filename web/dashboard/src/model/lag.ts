/** How far members are behind: server-selection "Calculating staleness", without the next heartbeat. */
import type { ServerDescription } from 'portolan';

/**
 * Milliseconds that a secondary is behind the primary, else behind the freshest secondary; `undefined`
 * for other members, and where that is not known. Servers tell their latest write in whole seconds.
 */
export function lag(
  member: ServerDescription,
  members: readonly ServerDescription[],
): number | undefined {
  if (member.type !== 'RSSecondary' || member.lastWriteDate === undefined) return undefined;
  const primary = members.find((other) => other.type === 'RSPrimary');
  if (primary === undefined) {
    const writes = members.map((other) => other.lastWriteDate ?? 0);
    return Math.max(...writes) - member.lastWriteDate;
  }
  const [own, first] = [unwritten(member), unwritten(primary)];
  return own === undefined || first === undefined ? undefined : Math.max(0, own - first);
}

/** From a member's latest write, by its clock, to when it said so, by the client's. */
function unwritten({ lastUpdateTimeMs, lastWriteDate }: ServerDescription): number | undefined {
  if (lastUpdateTimeMs === null || lastWriteDate === undefined) return undefined;
  return lastUpdateTimeMs - lastWriteDate;
}
