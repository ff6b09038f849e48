import type { Matrix } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import { type BufferRef, constant, dim, type Step, tiles } from '../../library-spec.ts';
import { productWork } from '../matrix/matrix-work.ts';
import {
  concatenationSegments,
  packSegments,
  pairedSegments,
  partBindings,
  partBuffers,
  type Segment,
  sharedColumns,
  workgroupCount,
} from '../matrix/segments.ts';
import { matmulKernel } from './matmul.wgsl.ts';
import { matmulLaneRowsKernel } from './matmul-lane-rows.wgsl.ts';
import {
  chooseMatmulTile,
  MATMUL_OPS,
  type MatmulEpilogue,
  type MatmulTile,
  outputRowsPerTile,
} from './matmul-shape.ts';

export interface Matmul {
  /** f32 [tokens, columns]. */
  input: BufferRef;
  /** Their rows, one matrix after the other, are the output's columns. */
  matrices: readonly Matrix[];
  /** f32 [tokens, sum of rows]. */
  output: BufferRef;
  /** Overrides the choice by device and size, for measurements. */
  tile?: MatmulTile;
}

export interface MatmulResidual {
  /** f32 [tokens, columns]. */
  input: BufferRef;
  matrix: Matrix;
  /** f32 [tokens, rows], read and written; not the input's buffer. */
  residual: BufferRef;
  tile?: MatmulTile;
}

export interface MatmulGateUp {
  /** f32 [tokens, columns]. */
  input: BufferRef;
  /** Of one shape; formats and parts may differ. */
  gate: Matrix;
  up: Matrix;
  /** f32 [tokens, rows]. */
  output: BufferRef;
  tile?: MatmulTile;
}

/**
 * output = input * transpose(concat(matrices)), for all tokens; made for calls of up to `maxTokens`, right for any.
 * @throws TramontaneError 'adapter-limits' where a part or a tile does not fit the device.
 */
export function planMatmul(
  { input, matrices, output, tile }: Matmul,
  caps: GpuCaps,
  maxTokens: number,
): Step[] {
  const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
  const product = { columns: sharedColumns(matrices), rows, segments: concatenationSegments(matrices) };
  return plan('store', product, input, output, tile ?? chooseMatmulTile(maxTokens, caps), caps);
}

/** residual += input * transpose(matrix), for all tokens. @throws as {@link planMatmul}. */
export function planMatmulResidual(
  { input, matrix, residual, tile }: MatmulResidual,
  caps: GpuCaps,
  maxTokens: number,
): Step[] {
  const product = {
    columns: sharedColumns([matrix]),
    rows: matrix.rows,
    segments: concatenationSegments([matrix]),
  };
  return plan('add', product, input, residual, tile ?? chooseMatmulTile(maxTokens, caps), caps);
}

/** output = silu(input * transpose(gate)) * (input * transpose(up)), for all tokens. @throws as {@link planMatmul}. */
export function planMatmulGateUp(
  { input, gate, up, output, tile }: MatmulGateUp,
  caps: GpuCaps,
  maxTokens: number,
): Step[] {
  const product = {
    columns: sharedColumns([gate, up]),
    rows: gate.rows,
    segments: pairedSegments(gate, up),
  };
  return plan('swiglu', product, input, output, tile ?? chooseMatmulTile(maxTokens, caps), caps);
}

function plan(
  epilogue: MatmulEpilogue,
  product: { columns: number; rows: number; segments: readonly Segment[] },
  input: BufferRef,
  output: BufferRef,
  tile: MatmulTile,
  caps: GpuCaps,
): Step[] {
  const { columns, rows } = product;
  const kernel = (segments: readonly Segment[]) => {
    const shape = { columns, outputRows: rows, segments, epilogue };
    return tile.kind === 'staged'
      ? matmulKernel({ ...shape, tile }, caps)
      : matmulLaneRowsKernel({ ...shape, tile }, caps);
  };
  return packSegments(product.segments, columns, 2, caps).map((segments) => ({
    kernel: kernel(segments),
    buffers: [input, ...partBuffers(partBindings(segments)), output],
    uniforms: [dim('tokens')],
    grid: [
      constant(workgroupCount(segments, outputRowsPerTile(tile, epilogue))),
      tiles('tokens', tile.tokens),
    ],
    work: productWork(MATMUL_OPS[epilogue].op.replaceAll('_', '-'), { segments, columns }, dim('tokens'), {
      norm: false,
      accumulates: epilogue === 'add',
    }),
  }));
}
