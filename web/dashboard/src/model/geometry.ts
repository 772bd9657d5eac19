/** Where things stand on the chart. Pure: a width and a count in, points out. */

export interface Point {
  x: number;
  y: number;
}

export interface Geometry {
  width: number;
  height: number;
  /** The client, low in the middle. */
  client: Point;
  /** One point per member, from left to right on an arc above the client. */
  harbours: Point[];
  /** How much may be written at a harbour before it runs into its neighbour's name. */
  labels: 'full' | 'short' | 'name';
}

/** The chart for `count` members on `width` pixels. */
export function geometry(width: number, count: number): Geometry {
  const crowded = count > 5;
  const height = Math.round(Math.min(440, Math.max(352, width * 0.56)) + (crowded ? 60 : 0));
  const client = { x: width / 2, y: height - 74 };
  const reachX = Math.min(width / 2 - 72, 330);
  const reachY = height - 74 - 96;
  const harbours = Array.from({ length: count }, (_, index) =>
    harbour(index, count, client, reachX, reachY),
  );
  const room = count > 1 ? (2 * reachX) / (count - 1) : width;
  // On an arc of three or fewer the neighbours stand at different heights, and never collide.
  const labels = count <= 3 || room > 150 ? 'full' : room > 84 ? 'short' : 'name';
  return { width, height, client, harbours, labels };
}

function harbour(
  index: number,
  count: number,
  client: Point,
  reachX: number,
  reachY: number,
): Point {
  if (count === 1) return { x: client.x, y: client.y - reachY };
  const spread = count === 2 ? 0.62 : 1;
  const across = ((index / (count - 1)) * 2 - 1) * spread;
  // On a narrow or crowded arc neighbours stand at two heights, so that their names have room.
  const stagger = count > 3 && index % 2 === 1 ? 0.3 : 0;
  const up = Math.sqrt(Math.max(0, 1 - (across * 0.86) ** 2)) - stagger;
  return { x: client.x + across * reachX, y: client.y - reachY * Math.max(0.42, up) };
}

export interface Rhumb {
  from: Point;
  to: Point;
  /** The inks of the old charts: whole winds black, half winds green, quarter winds red. */
  wind: 'whole' | 'half' | 'quarter';
}

/** The rhumb lines of the rose at `centre`, as long as the chart's diagonal: 32 winds. */
export function rhumbs(centre: Point, reach: number): Rhumb[] {
  return Array.from({ length: 32 }, (_, index) => {
    const angle = (index * Math.PI) / 16;
    const to = { x: centre.x + Math.sin(angle) * reach, y: centre.y - Math.cos(angle) * reach };
    return { from: centre, to, wind: wind(index) };
  });
}

function wind(index: number): Rhumb['wind'] {
  if (index % 4 === 0) return 'whole';
  return index % 2 === 0 ? 'half' : 'quarter';
}

/** `from` moved towards `to` by `distance` pixels. */
export function towards(from: Point, to: Point, distance: number): Point {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  return {
    x: from.x + ((to.x - from.x) * distance) / length,
    y: from.y + ((to.y - from.y) * distance) / length,
  };
}
