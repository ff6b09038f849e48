/** The roofline as a picture: what the memory and the arithmetic of this GPU allow, and where its kernels are. */
import { type SVGTemplateResult, svg } from 'lit';
import type { Phase } from '../../bench/kernels/kernel-report.ts';
import { threeDigits } from '../../bench/kernels/kernel-text.ts';
import type { Roofline, RooflinePoint } from '../../bench/kernels/roofline.ts';

const WIDTH = 760;
const HEIGHT = 400;
const LEFT = 62;
const RIGHT = WIDTH - 16;
const TOP = 16;
const BOTTOM = HEIGHT - 50;
/** Between lines of text. */
const LINE = 16;

const PHASE_LETTERS: Readonly<Record<Phase, string>> = { decode: 'D', prefill: 'P' };

/** `D1`: the kernel that takes most of a decoded token. */
export function kernelMark(phase: Phase, rank: number): string {
  return `${PHASE_LETTERS[phase]}${rank}`;
}

interface Range {
  low: number;
  high: number;
}

/** Decimal logarithms around values, with some air. */
function range(values: readonly number[]): Range {
  return { low: Math.log10(Math.min(...values) / 2), high: Math.log10(Math.max(...values) * 2) };
}

/** Round numbers within a range: a few to a decade where there are few decades. */
function ticks({ low, high }: Range): number[] {
  const steps = high - low > 2.5 ? [1] : [1, 2, 5];
  const decades = Array.from(
    { length: Math.ceil(high) - Math.floor(low) + 1 },
    (_, i) => Math.floor(low) + i,
  );
  return decades
    .flatMap((decade) => steps.map((step) => step * 10 ** decade))
    .filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
}

const number = (value: number) =>
  value >= 1 ? String(Math.round(value)) : String(Number(value.toPrecision(1)));

interface Placed {
  point: RooflinePoint;
  x: number;
  y: number;
  radius: number;
}

/** Points less than this apart, from left to right, have their names in one column. */
const COLUMN = 110;

function columns(placed: readonly Placed[]): Placed[][] {
  const groups: Placed[][] = [];
  for (const point of [...placed].sort((a, b) => a.x - b.x)) {
    const last = groups.at(-1);
    if (last !== undefined && point.x - last[0]!.x < COLUMN) last.push(point);
    else groups.push([point]);
  }
  return groups;
}

/** Names beside a column of points, spread so that none covers another. */
function placeNames(
  group: readonly Placed[],
): { placed: Placed; x: number; y: number; anchor: 'start' | 'end' }[] {
  const middle = group.reduce((sum, { x }) => sum + x, 0) / group.length;
  const isLeft = middle < (LEFT + RIGHT) / 2;
  const x = isLeft
    ? Math.max(...group.map((p) => p.x + p.radius)) + 16
    : Math.min(...group.map((p) => p.x - p.radius)) - 16;
  const sorted = [...group].sort((a, b) => a.y - b.y);
  const ys = sorted.map(({ y }) => y + 4);
  for (let i = 1; i < ys.length; i++) ys[i] = Math.max(ys[i]!, ys[i - 1]! + LINE);
  // What went past the bottom moves up again.
  for (let i = ys.length - 1, most = BOTTOM - 6; i >= 0; i--, most -= LINE) ys[i] = Math.min(ys[i]!, most);
  return sorted.map((placed, i) => ({ placed, x, y: ys[i]!, anchor: isLeft ? 'start' : 'end' }));
}

/** Its text alternative is `describeRoofline`, which the element around it has as its name. */
export function drawRoofline(roofline: Roofline): SVGTemplateResult {
  const { points, copyGigabytesPerSecond: bandwidth, peakGflopsPerSecond: peak, ridgeIntensity } = roofline;
  const xs = range([...points.map(({ intensity }) => intensity), ridgeIntensity]);
  const ys = range([...points.map(({ gflopsPerSecond }) => gflopsPerSecond), peak]);
  const x = (intensity: number) =>
    LEFT + ((Math.log10(intensity) - xs.low) / (xs.high - xs.low)) * (RIGHT - LEFT);
  const y = (gflops: number) =>
    BOTTOM - ((Math.log10(gflops) - ys.low) / (ys.high - ys.low)) * (BOTTOM - TOP);

  // The slope enters at the left or at the bottom.
  const first = Math.max(10 ** xs.low, 10 ** ys.low / bandwidth);
  const slope = [x(first), y(first * bandwidth), x(ridgeIntensity), y(peak)] as const;
  const angle = (Math.atan2(slope[3] - slope[1], slope[2] - slope[0]) * 180) / Math.PI;
  const at = [(slope[0] + slope[2]) / 2, (slope[1] + slope[3]) / 2] as const;

  const placed = points.map(
    (point): Placed => ({
      point,
      x: x(point.intensity),
      y: y(point.gflopsPerSecond),
      radius: 4 + 9 * Math.sqrt(point.shareOfTime),
    }),
  );
  return svg`
    ${ticks(xs).map(
      (value) => svg`
        <line class="grid" x1=${x(value)} x2=${x(value)} y1=${TOP} y2=${BOTTOM}></line>
        <text class="tick" x=${x(value)} y=${BOTTOM + LINE} text-anchor="middle">${number(value)}</text>`,
    )}
    ${ticks(ys).map(
      (value) => svg`
        <line class="grid" x1=${LEFT} x2=${RIGHT} y1=${y(value)} y2=${y(value)}></line>
        <text class="tick" x=${LEFT - 6} y=${y(value) + 4} text-anchor="end">${number(value)}</text>`,
    )}
    <text class="axis" x=${(LEFT + RIGHT) / 2} y=${HEIGHT - 10} text-anchor="middle">operations for each byte moved</text>
    <text class="axis" transform="translate(14 ${(TOP + BOTTOM) / 2}) rotate(-90)" text-anchor="middle">GFLOP/s</text>
    <polyline class="roof" points="${slope[0]},${slope[1]} ${slope[2]},${slope[3]} ${RIGHT},${y(peak)}"></polyline>
    <text class="roof-name" transform="translate(${at[0]} ${at[1]}) rotate(${angle}) translate(0 -8)" text-anchor="middle">
      memory: ${threeDigits(bandwidth)} GB/s
    </text>
    <text class="roof-name" x=${RIGHT - 4} y=${y(peak) - 8} text-anchor="end">
      arithmetic: ${threeDigits(peak)} GFLOP/s
    </text>
    ${columns(placed).flatMap((group) =>
      placeNames(group).map(
        (name) => svg`
          <polyline class="leader" points="${name.placed.x},${name.placed.y} ${name.anchor === 'start' ? name.x - 3 : name.x + 3},${name.y - 4}"></polyline>
          <text class="name ${name.placed.point.phase}" x=${name.x} y=${name.y} text-anchor=${name.anchor}>
            ${kernelMark(name.placed.point.phase, name.placed.point.rank)} ${name.placed.point.op}
          </text>`,
      ),
    )}
    ${placed.map(({ point, x: cx, y: cy, radius }) =>
      point.phase === 'decode'
        ? svg`<circle class="point decode" cx=${cx} cy=${cy} r=${radius}></circle>`
        : svg`<rect class="point prefill" x=${cx - radius} y=${cy - radius} width=${2 * radius} height=${2 * radius}></rect>`,
    )}
  `;
}

export const ROOFLINE_VIEW_BOX = `0 0 ${WIDTH} ${HEIGHT}`;

/** The same in words. */
export function describeRoofline({
  points,
  copyGigabytesPerSecond,
  peakGflopsPerSecond,
  ridgeIntensity,
}: Roofline): string {
  const reached = points.map(
    ({ phase, rank, op, gflopsPerSecond, attainableGflopsPerSecond }) =>
      `${kernelMark(phase, rank)} ${op} ${Math.round((gflopsPerSecond / attainableGflopsPerSecond) * 100)} %`,
  );
  return `Roofline. Memory allows ${threeDigits(copyGigabytesPerSecond)} GB/s, arithmetic ${threeDigits(peakGflopsPerSecond)} GFLOP/s; they meet at ${threeDigits(ridgeIntensity)} operations a byte. Of what these allow, the kernels reach: ${reached.join(', ')}.`;
}
