/** Chooses the tile of a matrix product: its knobs. */
import type { GpuCaps } from '../../gpu-caps.ts';
import type { MatmulTile } from './matmul.wgsl.ts';

/** @param maxTokens most tokens that the program is for. */
export function chooseMatmulTile(maxTokens: number, _caps: GpuCaps): MatmulTile {
  if (maxTokens <= 16) return { tokens: 16, rows: 64, laneTokens: 4, laneRows: 4 };
  if (maxTokens <= 32) return { tokens: 32, rows: 64, laneTokens: 8, laneRows: 4 };
  return { tokens: 64, rows: 64, laneTokens: 8, laneRows: 4 };
}
