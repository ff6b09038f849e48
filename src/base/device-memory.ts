/** Memory of the device in GiB, rounded and cut off by the browser; null where it does not tell (and in Node). */
export function deviceMemoryGib(): number | null {
  // Not in TypeScript's DOM library: https://www.w3.org/TR/device-memory/
  return (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory ?? null;
}
