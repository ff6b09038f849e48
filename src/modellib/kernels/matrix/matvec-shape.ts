/** Chooses how lanes are laid over a matrix: the knobs of every matrix-vector kernel. */
import { BLOCK_COLUMNS } from '../../../models/model-description.ts';
import type { GpuCaps } from '../../gpu-caps.ts';
import type { MatvecShape } from './matvec.wgsl.ts';

/** From this many blocks a row on, a workgroup is one team: it works on all columns of its rows at once. */
const WHOLE_WORKGROUP_BLOCKS = 64;
/** Lanes of a workgroup of several teams, about. */
const SMALL_WORKGROUP_LANES = 64;

/**
 * Lanes that divide a row's blocks with the least idling. */
export function chooseMatvecShape(columns: number, caps: GpuCaps): MatvecShape {
  const blocks = columns / BLOCK_COLUMNS;
  const most = Math.min(256, caps.maxInvocationsPerWorkgroup);
  if (blocks >= WHOLE_WORKGROUP_BLOCKS) {
    let lanes = 64;
    for (let candidate = 64; candidate <= most; candidate += 32) {
      const busy = (size: number) => blocks / (Math.ceil(blocks / size) * size);
      if (busy(candidate) >= busy(lanes)) lanes = candidate;
    }
    return { lanes, teams: 1 };
  }
  // The largest divisor of the blocks up to 16: every lane is busy, and a team's sums are few.
  let lanes = 1;
  for (let candidate = 2; candidate <= Math.min(16, blocks); candidate++) {
    if (blocks % candidate === 0) lanes = candidate;
  }
  return { lanes, teams: Math.max(1, Math.floor(SMALL_WORKGROUP_LANES / lanes)) };
}
