/** A load's progress in words. */

import { formatBytes, formatBytesOf, formatDuration, formatInteger } from '../../base/number-text.ts';
import type { Progress } from '../../engine/api.ts';

const labels: Record<Progress['phase'], string> = {
  download: 'Downloading',
  import: 'Importing',
  read: 'Reading from storage',
  upload: 'Copying to the GPU',
  compile: 'Preparing the GPU',
};

export interface ProgressText {
  label: string;
  /** From 0 to 1; null while unknown. */
  value: number | null;
  detail: string;
}

export function describeProgress(progress: Progress | null): ProgressText {
  if (progress === null) return { label: 'Starting', value: null, detail: '' };
  const { phase, bytes, totalBytes, bytesPerSecond, etaMs } = progress;
  const isCompile = phase === 'compile';
  const isDone = totalBytes > 0 && bytes >= totalBytes;
  return {
    label: labels[phase],
    value: totalBytes > 0 ? bytes / totalBytes : null,
    detail: [
      totalBytes === 0
        ? ''
        : isCompile
          ? `${formatInteger(bytes)} of ${formatInteger(totalBytes)} programs`
          : formatBytesOf(bytes, totalBytes),
      bytesPerSecond > 0 && !isCompile ? `${formatBytes(bytesPerSecond)}/s` : '',
      etaMs === null || isDone ? '' : `${formatDuration(etaMs)} left`,
    ]
      .filter(Boolean)
      .join(' · '),
  };
}
