/** What the two matrix-product kernels share: the product they compute, and the tiles to choose from. */
import type { GpuCaps } from '../../gpu-caps.ts';
import { hasNarrowSubgroups } from '../matrix/narrow.ts';
import type { Segment } from '../matrix/segments.ts';

/** A tile staged in workgroup memory. Lanes of a workgroup: (tokens / laneTokens) * (rows / laneRows). */
export interface StagedTile {
  kind: 'staged';
  /** Tokens and weight rows of a workgroup's tile; of a gate-up product half of the rows are the gate's. */
  tokens: number;
  rows: number;
  /** Tokens and weight rows of a lane; laneRows is 4 or 8. */
  laneTokens: number;
  laneRows: number;
}

/** Rows that belong to lanes, without workgroup memory. */
export interface LaneRowsTile {
  kind: 'lane-rows';
  /** Tokens of a workgroup, a multiple of 4. */
  tokens: number;
  lanes: number;
  /** Weight rows of a lane, even. */
  laneRows: number;
}

export type MatmulTile = StagedTile | LaneRowsTile;

/** store: y = product. add: y += product. swiglu: y = silu(product of source 0) * (product of source 1). */
export type MatmulEpilogue = 'store' | 'add' | 'swiglu';

export interface MatmulShape {
  columns: number;
  /** Row stride of the output: all rows of the concatenation. */
  outputRows: number;
  segments: readonly Segment[];
  tile: MatmulTile;
  epilogue: MatmulEpilogue;
}

export const MATMUL_OPS: Readonly<Record<MatmulEpilogue, { op: string; formula: string }>> = {
  store: { op: 'matmul', formula: 'matmul: y[t,r] = sum_k x[t,k] * W[r,k]' },
  add: { op: 'matmul_residual', formula: 'matmul_residual: y[t,r] += sum_k x[t,k] * W[r,k]' },
  swiglu: {
    op: 'matmul_gate_up',
    formula: 'matmul_gate_up: y[t,r] = silu(sum_k x[t,k] * G[r,k]) * (sum_k x[t,k] * U[r,k])',
  },
};

/** Output rows of a workgroup. */
export function outputRowsPerTile(tile: MatmulTile, epilogue: MatmulEpilogue): number {
  const rows = tile.kind === 'staged' ? tile.rows : tile.lanes * tile.laneRows;
  return epilogue === 'swiglu' ? rows / 2 : rows;
}

/** @param maxTokens most tokens that the program is for. */
export function chooseMatmulTile(maxTokens: number, caps: GpuCaps): MatmulTile {
  if (hasNarrowSubgroups(caps)) return { kind: 'lane-rows', tokens: 32, lanes: 16, laneRows: 4 };
  if (maxTokens <= 16) return { kind: 'staged', tokens: 16, rows: 64, laneTokens: 4, laneRows: 4 };
  if (maxTokens <= 32) return { kind: 'staged', tokens: 32, rows: 64, laneTokens: 8, laneRows: 4 };
  return { kind: 'staged', tokens: 64, rows: 64, laneTokens: 8, laneRows: 4 };
}
