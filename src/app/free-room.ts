/** What is left to store, in words. */
import { formatBytes } from '../base/number-text.ts';
import type { StorageEstimate } from '../storage/quota.ts';

export function describeFreeRoom({ usedBytes, quotaBytes, isLeast }: StorageEstimate): string {
  const free = formatBytes(Math.max(0, quotaBytes - usedBytes));
  return isLeast ? `${free} or more` : free;
}
