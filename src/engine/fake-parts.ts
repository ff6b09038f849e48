/** What the fake engine and the fake manager share: a device, and progress that takes its time. */
import { delay } from '../base/abort.ts';
import type { AdapterReport, Progress, ProgressPhase } from './api.ts';

export type FakeAdapter = 'good' | 'software' | 'no-f16' | 'none';

export function fakeAdapter(kind: FakeAdapter): AdapterReport | null {
  if (kind === 'none') return null;
  const isSoftware = kind === 'software';
  return {
    vendor: isSoftware ? 'google' : 'fake',
    architecture: isSoftware ? 'swiftshader' : 'scripted',
    description: isSoftware ? 'SwiftShader' : 'Scripted answers',
    isSoftware,
    shaderF16: kind === 'good',
    subgroups: kind === 'good',
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    maxBufferBytes: 2 ** 31,
    maxStorageBindingBytes: 2 ** 30,
    maxWorkgroupStorageBytes: 32_768,
    maxInvocationsPerWorkgroup: 1024,
    maxStorageBuffersPerStage: 10,
  };
}

export interface FakeTransfer {
  phase: ProgressPhase;
  totalBytes: number;
  /** Done before it begins. Default 0. */
  startBytes?: number;
  durationMs: number;
}

/**
 * Reports a transfer step by step, and resolves when it is done.
 * @param options.delay Default: the time of the clock on the wall.
 * @throws `signal.reason` when aborted
 */
export async function playTransfer(
  { phase, totalBytes, startBytes = 0, durationMs }: FakeTransfer,
  options: {
    signal?: AbortSignal | undefined;
    onProgress?: ((progress: Progress) => void) | undefined;
    delay?: typeof delay;
  },
): Promise<void> {
  const wait = options.delay ?? delay;
  const steps = Math.max(1, Math.min(60, Math.round(durationMs / 25)));
  const moved = totalBytes - startBytes;
  for (let step = 0; step <= steps; step += 1) {
    const fraction = step / steps;
    options.onProgress?.({
      phase,
      bytes: startBytes + Math.round(moved * fraction),
      totalBytes,
      bytesPerSecond: phase === 'compile' || step === 0 ? 0 : (moved / durationMs) * 1000,
      etaMs: step === 0 ? null : durationMs * (1 - fraction),
    });
    if (step < steps) await wait(durationMs / steps, options.signal);
  }
}

/** A number in an address (`?rate=200`); undefined where there is none. */
export function numberParameter(parameters: URLSearchParams, name: string): number | undefined {
  const text = parameters.get(name);
  return text === null || text === '' || !Number.isFinite(Number(text)) ? undefined : Number(text);
}
