/** How much the browser lets this origin store. */

export interface StorageEstimate {
  usedBytes: number;
  quotaBytes: number;
}

/** @returns null where the browser does not tell (and in Node). */
export async function estimateStorage(): Promise<StorageEstimate | null> {
  const manager = globalThis.navigator?.storage;
  if (typeof manager?.estimate !== 'function') return null;
  const { usage, quota } = await manager.estimate();
  return usage === undefined || quota === undefined ? null : { usedBytes: usage, quotaBytes: quota };
}

/** Asks the browser not to evict what is stored. @returns whether it agreed. */
export async function requestPersistence(): Promise<boolean> {
  const manager = globalThis.navigator?.storage;
  return typeof manager?.persist === 'function' ? manager.persist() : false;
}
