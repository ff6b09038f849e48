/** Vitest setup: gives Node a `navigator.gpu` (Dawn) over the software driver that the project names. */
const icd = process.env.TRAMONTANE_VULKAN_ICD;
if (icd) {
  process.env.VK_ICD_FILENAMES = icd;
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const gpu = create([]);
  Object.defineProperty(globalThis, 'navigator', {
    value: { gpu, userAgent: 'node' },
    configurable: true,
  });
}

export {};
