/** How much faster kernels became, from two sets of plans that took turns within one run. */
import { type KernelReport, type KernelTiming, median, type Phase } from './kernel-report.ts';

export interface KernelRatio {
  phase: Phase;
  /** What was compared: `attention-split + attention-merge`, or all kernels that both sets have. */
  before: string;
  after: string;
  /** Microseconds in one step: the median of the rounds. */
  beforeMicroseconds: number;
  afterMicroseconds: number;
  /** Before divided by after, round by round: the median, the least and the most. */
  ratio: number;
  least: number;
  most: number;
}

/** Kernels of one purpose, by the first word of their op: `attention`. */
function byPurpose(kernels: readonly KernelTiming[]): Map<string, KernelTiming[]> {
  const purposes = new Map<string, KernelTiming[]>();
  for (const kernel of kernels) {
    const purpose = kernel.op.split('-')[0]!;
    purposes.set(purpose, [...(purposes.get(purpose) ?? []), kernel]);
  }
  return purposes;
}

/** Microseconds of a step in each round, as far as all kernels have samples. */
function rounds(kernels: readonly KernelTiming[]): number[] {
  const count = Math.min(...kernels.map(({ samples }) => samples.length));
  return Array.from({ length: count }, (_, round) =>
    kernels.reduce((sum, { dispatches, samples }) => sum + dispatches * samples[round]!, 0),
  );
}

function ratioOf(
  phase: Phase,
  before: readonly KernelTiming[],
  after: readonly KernelTiming[],
  names: Pick<KernelRatio, 'before' | 'after'>,
): KernelRatio {
  const [own, other] = [rounds(after), rounds(before)];
  const ratios = own.slice(0, other.length).map((microseconds, round) => other[round]! / microseconds);
  return {
    phase,
    ...names,
    beforeMicroseconds: median(other),
    afterMicroseconds: median(own),
    ratio: median(ratios),
    least: Math.min(...ratios),
    most: Math.max(...ratios),
  };
}

/** Changed kernels by purpose, then those that are the same in both, whose ratio tells how steady the machine was. */
export function kernelRatios(
  before: Pick<KernelReport, Phase>,
  after: Pick<KernelReport, Phase>,
): KernelRatio[] {
  return (['decode', 'prefill'] as const).flatMap((phase) => {
    const isIn = (kernels: readonly KernelTiming[], name: string) =>
      kernels.some((kernel) => kernel.name === name);
    const [old, now] = [before[phase].kernels, after[phase].kernels];
    const gone = byPurpose(old.filter(({ name }) => !isIn(now, name)));
    const added = byPurpose(now.filter(({ name }) => !isIn(old, name)));
    const changed = [...gone].flatMap(([purpose, kernels]) => {
      const others = added.get(purpose);
      if (others === undefined) return [];
      const names = (list: readonly KernelTiming[]) => [...new Set(list.map(({ op }) => op))].join(' + ');
      return [ratioOf(phase, kernels, others, { before: names(kernels), after: names(others) })];
    });
    const [oldSame, nowSame] = [
      old.filter(({ name }) => isIn(now, name)),
      now.filter(({ name }) => isIn(old, name)),
    ];
    const same = { before: 'kernels that are the same', after: 'kernels that are the same' };
    return [...changed, ...(oldSame.length === 0 ? [] : [ratioOf(phase, oldSame, nowSame, same)])];
  });
}
