/** The compass rose: the page's mark, and the client's place on the chart. */

interface RoseProps {
  /** Radius in pixels. */
  radius: number;
  /** How many winds: 8, or 16 with the smaller points between. */
  winds?: 8 | 16;
}

/** A rose around the origin of its parent. */
export function Rose({ radius, winds = 8 }: RoseProps) {
  const halves = winds === 16 ? [22.5, 67.5, 112.5, 157.5, 202.5, 247.5, 292.5, 337.5] : [];
  return (
    <g class="rose" aria-hidden="true">
      {halves.map((angle) => (
        <Wind key={angle} angle={angle} length={radius * 0.5} kind="half" />
      ))}
      {[45, 135, 225, 315].map((angle) => (
        <Wind key={angle} angle={angle} length={radius * 0.72} kind="ordinal" />
      ))}
      {[0, 90, 180, 270].map((angle) => (
        <Wind key={angle} angle={angle} length={radius} kind="cardinal" />
      ))}
    </g>
  );
}

interface WindProps {
  angle: number;
  length: number;
  kind: 'cardinal' | 'ordinal' | 'half';
}

/** One point of the rose, a lit and a shaded half. */
function Wind({ angle, length, kind }: WindProps) {
  const waist = length * (kind === 'cardinal' ? 0.2 : 0.17);
  const tip = `0 ${-length}`;
  return (
    <g class={`wind wind-${kind}`} transform={`rotate(${angle})`}>
      <path class="lit" d={`M${tip} L${waist} ${-waist} L0 0Z`} />
      <path class="shade" d={`M${tip} L${-waist} ${-waist} L0 0Z`} />
    </g>
  );
}
