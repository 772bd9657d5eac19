/** The drawn topology: the client as a compass rose, its members as harbours, a course to each. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { ServerDescription } from 'portolan';

import { demoMembers } from '../model/demo';
import { type Geometry, type Point, geometry, rhumbs, towards } from '../model/geometry';
import { addresses, beats, members, topology } from '../model/state';
import { duration, isKnown, role, shortName, topologyWords } from '../model/words';
import { Mark } from './Mark';
import { Rose } from './Rose';

export function Chart() {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const layout = geometry(width, members.value.length);
  return (
    <div class="chart" ref={frame}>
      <svg
        viewBox={`0 0 ${layout.width} ${layout.height}`}
        width={layout.width}
        height={layout.height}
        role="img"
        aria-label={description()}
      >
        <Winds layout={layout} />
        {members.value.map((member, index) => (
          <Course key={member.address} member={member} at={layout.harbours[index]} layout={layout} />
        ))}
        <g transform={`translate(${layout.client.x} ${layout.client.y})`}>
          <circle class="client-disc" r="34" />
          <circle class="client-ring" r="39" />
          <Rose radius={32} winds={16} />
          <text class="client-name" y="61" text-anchor="middle">
            this page
          </text>
        </g>
        {members.value.map((member, index) => (
          <Harbour key={member.address} member={member} at={layout.harbours[index]} layout={layout} />
        ))}
      </svg>
      {members.value.length === 0 && <p class="chart-empty">Waiting for the first report…</p>}
    </div>
  );
}

function description(): string {
  const current = topology.value;
  if (current === null) return 'Chart of the deployment: nothing is known yet';
  const list = members.value.map((member) => `${member.address} ${role(member.type)}`);
  return `Chart of the deployment: ${topologyWords(current.topologyType)}. ${list.join(', ')}.`;
}

function Winds({ layout }: { layout: Geometry }) {
  const reach = Math.hypot(layout.width, layout.height);
  const centre = { x: layout.client.x, y: layout.height * 0.42 };
  const ring = Math.min(layout.width / 2, layout.height * 0.42) * 0.94;
  // The hidden circle of a portolan: roses on a ring, whose winds cross into a net.
  const roses = Array.from({ length: 8 }, (_, index) => {
    const angle = (index * Math.PI) / 4 + Math.PI / 8;
    return { x: centre.x + Math.cos(angle) * ring, y: centre.y + Math.sin(angle) * ring };
  });
  return (
    <g class="winds" aria-hidden="true">
      {rhumbs(layout.client, reach).map((line, index) => (
        <line key={index} class={`wind-${line.wind}`} {...ends(line.from, line.to)} />
      ))}
      <g class="net">
        {roses.flatMap((from, index) =>
          roses
            .slice(index + 1)
            .map((to, other) => (
              <line key={`${index}-${other}`} class="wind-whole" {...ends(from, to)} />
            )),
        )}
      </g>
    </g>
  );
}

interface MemberProps {
  member: ServerDescription;
  at: Point | undefined;
}

function Course({ member, at, layout }: MemberProps & { layout: Geometry }) {
  if (at === undefined) return null;
  const start = towards(layout.client, at, 42);
  const end = towards(at, layout.client, member.type === 'RSPrimary' ? 30 : 20);
  const beat = beats.value.get(member.address)?.count ?? 0;
  return (
    <g class={`course course-${courseState(member)}`} data-address={member.address}>
      <line class="track" {...ends(start, end)} />
      {beat > 0 && isKnown(member) && (
        <line key={beat} class="glint" pathLength={100} {...ends(end, start)} />
      )}
    </g>
  );
}

function courseState(member: ServerDescription): string {
  if (member.type === 'RSPrimary') return 'primary';
  if (isKnown(member)) return 'known';
  return member.error === undefined ? 'waiting' : 'broken';
}

function Harbour({ member, at, layout }: MemberProps & { layout: Geometry }) {
  if (at === undefined) return null;
  const isPrimary = member.type === 'RSPrimary';
  const failed = member.error !== undefined && !isKnown(member);
  const reach = isPrimary ? 26 : 16;
  const state = demoMembers.value.get(member.address)?.state;
  const below = state === 'frozen' || state === 'stopped' ? state : reading(member);
  return (
    <g
      class={`harbour harbour-${member.type}`}
      transform={`translate(${at.x} ${at.y})`}
      data-address={member.address}
      data-type={member.type}
    >
      <Mark type={member.type} failed={failed} />
      {isPrimary && <Pennant />}
      {layout.labels !== 'name' && (
        <text class="harbour-role" y={-(reach + 26)} text-anchor="middle">
          {role(member.type)}
        </text>
      )}
      <text class="harbour-address" y={-(reach + 10)} text-anchor="middle">
        {layout.labels === 'full' ? member.address : shortName(member.address, addresses.value)}
      </text>
      {below !== null && layout.labels !== 'name' && (
        <text class="harbour-reading" {...beside(at, layout.client, reach)}>
          {below}
        </text>
      )}
    </g>
  );
}

/** A flag beside the primary: on the old charts the ruling harbour flew one. */
function Pennant() {
  return (
    <g class="pennant" aria-hidden="true">
      <path class="mast" d="M27 12V-25" />
      <path class="flag" d="M27 -25l20 6-20 6z" />
    </g>
  );
}

/** Below the mark, or to its right where the course itself runs below. */
function beside(at: Point, client: Point, reach: number) {
  if (Math.abs(at.x - client.x) > 40) return { y: reach + 18, 'text-anchor': 'middle' } as const;
  const clear = reach + (reach > 20 ? 26 : 9);
  return { x: clear, y: 4, 'text-anchor': 'start' } as const;
}

function reading(member: ServerDescription): string | null {
  return member.roundTripTimeMs === null ? null : duration(member.roundTripTimeMs);
}

function ends(from: Point, to: Point): { x1: number; y1: number; x2: number; y2: number } {
  return { x1: from.x, y1: from.y, x2: to.x, y2: to.y };
}

function useWidth(frame: { current: HTMLDivElement | null }): number {
  const [width, setWidth] = useState(720);
  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setWidth(Math.max(280, element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, [frame]);
  return width;
}
