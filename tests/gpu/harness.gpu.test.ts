import { expect, test } from 'vitest';
import { constant, type KernelSource, planned } from '../../src/modellib/library-spec.ts';
import { toyWork } from '../tools/toy-library.ts';
import { getTestDevice } from './gpu-device.ts';
import { runSteps } from './run-steps.ts';

const double: KernelSource = {
  name: 'double',
  wgsl: `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(1) fn double(@builtin(workgroup_id) id: vec3<u32>) { x[id.x] *= 2.0; }`,
  bindings: ['read_write'],
  uniforms: [],
};
const step = {
  kernel: double,
  buffers: [planned('x')],
  uniforms: [],
  grid: [constant(3), constant(1)] as const,
  work: toyWork,
};

test('the harness runs a kernel', async () => {
  const { device } = await getTestDevice();
  const run = { buffers: { 'planned:x': new Float32Array([1, 2, 3, 4]) }, read: ['planned:x'] };
  const result = await runSteps(device, [step], run);
  expect([...new Float32Array(result['planned:x']!)]).toEqual([2, 4, 6, 4]);
});

test('the harness reports a binding that does not match the WGSL', async () => {
  const { device } = await getTestDevice();
  const wrong = { ...step, kernel: { ...double, bindings: ['read'] as const } };
  await expect(
    runSteps(device, [wrong], { buffers: { 'planned:x': new Float32Array(4) }, read: [] }),
  ).rejects.toThrow();
});
