/** Progress of a load, or of a prompt being read, in words. */
import { formatBytes, formatBytesOf, formatDuration, formatInteger } from '../../base/number-text.ts';
import type { Progress } from '../../engine/api.ts';

const labels: Record<Progress['phase'], string> = {
  download: 'Downloading',
  import: 'Importing',
  read: 'Reading from storage',
  upload: 'Copying to the GPU',
  compile: 'Preparing the GPU',
  prefill: 'Reading',
};

/** What is counted where it is not bytes. */
const counted: Partial<Record<Progress['phase'], string>> = { compile: 'programs', prefill: 'tokens' };

export interface ProgressText {
  label: string;
  /** From 0 to 1; null while unknown. */
  value: number | null;
  detail: string;
}

export function describeProgress(progress: Progress | null): ProgressText {
  if (progress === null) return { label: 'Starting', value: null, detail: '' };
  const { phase, bytes, totalBytes, bytesPerSecond, etaMs } = progress;
  const unit = counted[phase];
  const isDone = totalBytes > 0 && bytes >= totalBytes;
  return {
    label: labels[phase],
    value: totalBytes > 0 ? bytes / totalBytes : null,
    detail: [
      totalBytes === 0
        ? ''
        : unit === undefined
          ? formatBytesOf(bytes, totalBytes)
          : `${formatInteger(bytes)} of ${formatInteger(totalBytes)} ${unit}`,
      bytesPerSecond > 0 && unit === undefined ? `${formatBytes(bytesPerSecond)}/s` : '',
      etaMs === null || isDone ? '' : `${formatDuration(etaMs)} left`,
    ]
      .filter(Boolean)
      .join(' · '),
  };
}
