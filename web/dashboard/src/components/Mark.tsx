/** A member's mark: its role as a shape, so that colour is never the only sign. */
import type { ServerType } from 'portolan';

import { Rose } from './Rose';

interface MarkProps {
  type: ServerType;
  /** Why the member is unknown, if it failed. */
  failed: boolean;
  /** 1 is the size on the chart. */
  scale?: number;
}

/** Drawn around the origin, about 26 px in radius for a primary and 15 for others. */
export function Mark({ type, failed, scale = 1 }: MarkProps) {
  return (
    <g class={`mark mark-${type}${failed ? ' mark-failed' : ''}`} transform={`scale(${scale})`}>
      <Shape type={type} failed={failed} />
    </g>
  );
}

function Shape({ type, failed }: { type: ServerType; failed: boolean }) {
  switch (type) {
    case 'RSPrimary':
      return (
        <>
          <circle class="halo" r="26" />
          <circle class="body" r="21" />
          <Rose radius={19} />
        </>
      );
    case 'RSSecondary':
      return (
        <>
          <circle class="body" r="15" />
          <circle class="core" r="7.5" />
        </>
      );
    case 'RSArbiter':
      return <path class="body" d="M0-16 16 0 0 16-16 0Z" />;
    case 'Standalone':
    case 'Mongos':
    case 'LoadBalancer':
      return (
        <>
          <rect class="body" x="-14" y="-14" width="28" height="28" rx="4" />
          <circle class="core" r="6" />
        </>
      );
    case 'RSOther':
    case 'RSGhost':
      return <circle class="body" r="14" />;
    case 'Unknown':
    case 'PossiblePrimary':
      return (
        <>
          <circle class="body" r="14" />
          {failed ? (
            <path class="stroke" d="M-5.5-5.5 5.5 5.5M5.5-5.5-5.5 5.5" />
          ) : (
            <text class="query" text-anchor="middle" dy="0.36em">
              ?
            </text>
          )}
        </>
      );
  }
}

/** The mark in a line of text. */
export function InlineMark({ type, failed }: { type: ServerType; failed: boolean }) {
  return (
    <svg class="inline-mark" viewBox="-28 -28 56 56" width="26" height="26" aria-hidden="true">
      <Mark type={type} failed={failed} scale={type === 'RSPrimary' ? 1 : 1.35} />
    </svg>
  );
}
