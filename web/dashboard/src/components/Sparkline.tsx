/** A member's round-trip times over the last minute and a half. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

import type { History } from '../model/state';

const HEIGHT = 40;

export function Sparkline({ history }: { history: History | undefined }) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);

  useEffect(() => {
    const element = frame.current;
    if (element === null) return undefined;
    const draw = (): void => {
      plot.current?.destroy();
      plot.current = make(element);
    };
    draw();
    // The canvas takes its inks from the style sheet once, so it is redrawn when they change.
    const dark = matchMedia('(prefers-color-scheme: dark)');
    dark.addEventListener('change', draw);
    const observer = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    observer.observe(element);
    return () => {
      dark.removeEventListener('change', draw);
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    if (history !== undefined) plot.current?.setData([history.at, history.rtt]);
  }, [history]);

  return <div class="sparkline" ref={frame} aria-hidden="true" />;
}

function make(element: HTMLElement): uPlot {
  const style = getComputedStyle(element);
  return new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      padding: [4, 1, 3, 1],
      cursor: { show: false },
      legend: { show: false },
      axes: [{ show: false }, { show: false }],
      scales: {
        x: { time: false, range: (_plot, _min, max) => [max - 90, max] },
        y: { range: (_plot, _min, max) => [0, Math.max(0.5, max * 1.15)] },
      },
      series: [
        {},
        {
          stroke: style.getPropertyValue('--course').trim(),
          fill: style.getPropertyValue('--course-wash').trim(),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        },
      ],
    },
    [[], []],
    element,
  );
}
