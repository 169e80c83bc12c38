/** Lines in plots with two logarithmic axes, as SVG: what grows in proportion is a line that climbs as the grey ones do. */

export interface Panel {
  title: string;
  series: { name: string; points: { x: number; y: number }[] }[];
}

const [width, height, left, top, right, bottom] = [420, 300, 60, 40, 120, 40];
const colours = ['#1b6ca8', '#c8553d', '#3a7d44', '#8e5ea2', '#b38600', '#555555'];
const escape = (text: string) => text.replace(/[&<>]/g, (one) => `&#${one.charCodeAt(0)};`);
const number = (value: number) => (value >= 1 ? value.toLocaleString('en', { maximumFractionDigits: 0 }) : String(value));

/** Powers of ten from the one below all values to the one above. */
function decades(values: readonly number[]): number[] {
  const [first, last] = [Math.floor(Math.log10(Math.min(...values))), Math.max(Math.ceil(Math.log10(Math.max(...values))), Math.floor(Math.log10(Math.min(...values))) + 1)];
  return Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
}

function panel({ title, series }: Panel, x: number, y: number): string {
  const all = series.flatMap(({ points }) => points);
  if (all.length === 0) return '';
  const [xs, ys] = [decades(all.map((point) => point.x)), decades(all.map((point) => point.y))];
  const along = (value: number, marks: number[]) => Math.log10(value / marks[0]!) / Math.log10(marks.at(-1)! / marks[0]!);
  const at = (point: { x: number; y: number }) => [(left + along(point.x, xs) * (width - left - right)).toFixed(1), (height - bottom - along(point.y, ys) * (height - top - bottom)).toFixed(1)] as const;
  const line = (from: { x: number; y: number }, to: { x: number; y: number }, style: string) => {
    const [[x1, y1], [x2, y2]] = [at(from), at(to)];
    return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" ${style}/>`;
  };
  const [low, high] = [ys[0]!, ys.at(-1)!];
  // Names stand beside the ends of their lines, and below one another where these are close.
  let free = -Infinity;
  const ends = series.map(({ name, points }, i) => ({ name, i, y: Number(at(points.at(-1)!)[1]) })).sort((a, b) => a.y - b.y).map((end) => {
    free = Math.max(end.y, free + 13);
    return { ...end, y: free };
  });
  return [
    `<g transform="translate(${x} ${y})">`,
    `<text x="${left}" y="${top - 16}" font-weight="bold">${escape(title)}</text>`,
    ...xs.map((mark) => `${line({ x: mark, y: low }, { x: mark, y: high }, 'stroke="#eee"')}<text x="${at({ x: mark, y: low })[0]}" y="${height - bottom + 16}" text-anchor="middle">${number(mark)}</text>`),
    ...ys.map((mark) => `${line({ x: xs[0]!, y: mark }, { x: xs.at(-1)!, y: mark }, 'stroke="#eee"')}<text x="${left - 6}" y="${Number(at({ x: xs[0]!, y: mark })[1]) + 4}" text-anchor="end">${number(mark)}</text>`),
    // In proportion: from each mark of the left edge upwards, as far as the axes go.
    ...ys.slice(0, -1).map((mark) => { const steps = Math.min(Math.log10(xs.at(-1)! / xs[0]!), Math.log10(high / mark)); return line({ x: xs[0]!, y: mark }, { x: xs[0]! * 10 ** steps, y: mark * 10 ** steps }, 'stroke="#bbb" stroke-dasharray="3 3"'); }),
    ...series.map(({ points }, i) => `<polyline fill="none" stroke="${colours[i % colours.length]}" stroke-width="2" points="${points.map((point) => at(point).join(',')).join(' ')}"/>`),
    ...ends.map(({ name, i, y: height_ }) => `<text x="${width - right + 6}" y="${height_ + 4}" fill="${colours[i % colours.length]}">${escape(name)}</text>`),
    '</g>',
  ].join('\n');
}

/** Panels two by two. */
export const plot = (panels: readonly Panel[]): string => {
  const rows = Math.ceil(panels.length / 2);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width * 2} ${height * rows}" font-family="sans-serif" font-size="11">
<rect width="100%" height="100%" fill="white"/>
${panels.map((one, i) => panel(one, (i % 2) * width, Math.floor(i / 2) * height)).join('\n')}
</svg>
`;
};
