/** What the two matrix-vector kernels share: the product they compute, and how lanes are laid over a matrix. */
import { BLOCK_COLUMNS } from '../../../base/weight-formats.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { quantFactors } from '../../weight-formats/part-code.ts';
import { type BindingText, partBindingTexts } from './kernel-text.ts';
import { hasNarrowSubgroups } from './narrow.ts';
import type { PartBinding, Segment } from './segments.ts';

/** Teams of lanes that share rows and divide the columns among themselves; lanes * teams invocations. */
export interface TeamShape {
  kind: 'team';
  /** Lanes of a team. */
  lanes: number;
  teams: number;
  /** Sums that each lane keeps: rows of one source, or half as many of two. */
  sums: 4 | 8;
}

/** Lanes that have rows of their own. */
export interface LaneRowsShape {
  kind: 'lane-rows';
  lanes: number;
}

export type MatvecShape = TeamShape | LaneRowsShape;

export interface MatvecKernel {
  op: string;
  header: readonly string[];
  columns: number;
  segments: readonly Segment[];
  shape: MatvecShape;
  /** Normalise x by RMS and multiply by a gain. Null: x as it is. */
  norm: { epsilon: number } | null;
  /** Number of the row of x is a uniform. */
  rowUniform: boolean;
  /** store: output = y. add: output += y. swiglu: output = silu(y of source 0) * (y of source 1). */
  epilogue: 'store' | 'add' | 'swiglu';
}

/** Sums of a lane that has rows of its own: four of one source, or two of two. */
export const LANE_ROWS_SUMS = 4;

/** Output rows of one workgroup. */
export function rowsPerWorkgroup(shape: MatvecShape, sources: 1 | 2): number {
  const sums = shape.kind === 'team' ? shape.teams * shape.sums : shape.lanes * LANE_ROWS_SUMS;
  return sums / sources;
}

/** Bindings of either kernel: x, gain (with a norm), each part's quants and scales, output. */
export function matvecBindings(
  norm: MatvecKernel['norm'],
  parts: readonly PartBinding[],
  caps: GpuCaps,
): BindingText[] {
  return [
    { name: 'x', type: 'array<vec4<f32>>', access: 'read' },
    ...(norm === null ? [] : [{ name: 'gain', type: 'array<vec4<f32>>', access: 'read' as const }]),
    ...partBindingTexts(parts, caps),
    { name: 'result', type: 'array<f32>', access: 'read_write' },
  ];
}

/**
 * How activations are prepared for `dot_block`: a statement that declares `factors` for `part` where the parts'
 * formats differ, and the expression to multiply with (null: none).
 */
export function activationCode(parts: readonly PartBinding[]): {
  statement: string;
  factor: string | null;
} {
  const factors = parts.map(({ format }) => quantFactors(format));
  if (new Set(factors).size === 1) return { statement: '', factor: factors[0]! };
  const cases = factors.map((factor, i) => (factor === null ? '' : `case ${i}u: { factors = ${factor}; }`));
  const statement = `var factors = vec4<f32>(1.0); switch (part) { ${cases.join(' ')} default: {} }`;
  return { statement, factor: 'factors' };
}

/** From this many blocks a row on, a workgroup is one team: it works on all columns of its rows at once. */
const WHOLE_WORKGROUP_BLOCKS = 64;
/** Lanes of a workgroup of several teams, about. */
const SMALL_WORKGROUP_LANES = 64;
/** Lanes of a workgroup on a processor: enough rows to be worth starting it. */
const PROCESSOR_LANES = 16;

/** Lays lanes over rows of `columns` with the least idling. */
export function chooseMatvecShape(columns: number, caps: GpuCaps): MatvecShape {
  if (hasNarrowSubgroups(caps)) return { kind: 'lane-rows', lanes: PROCESSOR_LANES };
  const blocks = columns / BLOCK_COLUMNS;
  const most = Math.min(256, caps.maxInvocationsPerWorkgroup);
  if (blocks >= WHOLE_WORKGROUP_BLOCKS) {
    let lanes = 64;
    for (let candidate = 64; candidate <= most; candidate += 32) {
      const busy = (size: number) => blocks / (Math.ceil(blocks / size) * size);
      if (busy(candidate) >= busy(lanes)) lanes = candidate;
    }
    // Every workgroup reads all of x and the gain: eight rows share them, so that weights stay the most of the traffic.
    return { kind: 'team', lanes, teams: 1, sums: 8 };
  }
  // The largest divisor of the blocks up to 16: every lane is busy, and a team's sums are few.
  let lanes = 1;
  for (let candidate = 2; candidate <= Math.min(16, blocks); candidate++) {
    if (blocks % candidate === 0) lanes = candidate;
  }
  return { kind: 'team', lanes, teams: Math.max(1, Math.floor(SMALL_WORKGROUP_LANES / lanes)), sums: 4 };
}
