import { afterEach, expect, test, vi } from 'vitest';
import type { AdapterReport } from '../../src/engine/api.ts';
import { gpuArguments, openOnGpu } from './chromium.ts';

const software: AdapterReport = {
  vendor: 'google',
  architecture: 'swiftshader',
  description: '',
  isSoftware: true,
  shaderF16: false,
  subgroups: true,
  subgroupMinSize: 4,
  subgroupMaxSize: 4,
  maxBufferBytes: 1 << 30,
  maxStorageBindingBytes: 1 << 30,
  maxWorkgroupStorageBytes: 32 << 10,
  maxInvocationsPerWorkgroup: 256,
  maxStorageBuffersPerStage: 10,
};
const gpu: AdapterReport = { ...software, vendor: 'amd', architecture: 'rdna-3', isSoftware: false };

const { platform } = process;
afterEach(() => {
  Object.defineProperty(process, 'platform', { value: platform });
  vi.restoreAllMocks();
});

/** Opens a browser as it would be on `system`. @returns what happened, in order, and what stderr got */
async function open(
  system: NodeJS.Platform,
  adapterWith: (vulkan: boolean) => AdapterReport | null,
): Promise<{ events: string[]; stderr: string }> {
  Object.defineProperty(process, 'platform', { value: system });
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const events: string[] = [];
  await openOnGpu(async (args) => {
    expect(args).toContain('--enable-unsafe-webgpu');
    const vulkan = args.includes('--use-angle=vulkan');
    events.push(vulkan ? 'open with Vulkan' : 'open');
    return {
      adapter: adapterWith(vulkan),
      async close() {
        events.push('close');
      },
    };
  });
  return { events, stderr: write.mock.calls.map(([text]) => text).join('') };
}

test('on Linux a browser gets Vulkan, elsewhere it needs no flags', async () => {
  expect(gpuArguments('darwin')).toEqual([]);
  expect(gpuArguments('win32')).toEqual([]);
  expect(await open('linux', () => gpu)).toEqual({ events: ['open with Vulkan'], stderr: '' });
  expect(await open('darwin', () => gpu)).toEqual({ events: ['open'], stderr: '' });
});

test('a browser without WebGPU under Vulkan is closed, and opened without', async () => {
  const { events, stderr } = await open('linux', (vulkan) => (vulkan ? null : software));
  expect(events).toEqual(['open with Vulkan', 'close', 'open']);
  expect(stderr).toMatch(/^No GPU was found .*google swiftshader.*README\.md.*\n$/);
  // Once: there is nothing else to try.
  expect((await open('darwin', () => null)).events).toEqual(['open']);
  expect((await open('linux', () => null)).events).toEqual(['open with Vulkan', 'close', 'open']);
});
