import { describe, test } from 'vitest';
import { expectClose } from '../../../../tests/gpu/close-to.ts';
import { capsVariants, getTestDevice } from '../../../../tests/gpu/gpu-device.ts';
import { runSteps } from '../../../../tests/gpu/run-steps.ts';
import { createRandom, randomNormal } from '../../../../tests/tools/random.ts';
import { planned } from '../../library-spec.ts';
import { planRmsNorm } from './rms-norm.plan.ts';
import { rmsNormReference } from './rms-norm.reference.ts';

const { device, caps } = await getTestDevice();

describe.each(capsVariants(caps))('rms-norm, $name', ({ caps: variant }) => {
  test.each([
    { tokens: 1, columns: 32 },
    { tokens: 2, columns: 64 },
    { tokens: 65, columns: 576 },
    { tokens: 7, columns: 5120 },
  ])('$tokens x $columns', async ({ tokens, columns }) => {
    const random = createRandom(tokens);
    // SmolLM2's residual stream reaches 24,900: its squares are beyond f16.
    const x = randomNormal(random, tokens * columns, 10_000);
    const gain = randomNormal(random, columns);
    const steps = planRmsNorm(
      {
        x: planned('x'),
        gain: { length: columns, record: 'gain' },
        epsilon: 1e-5,
        output: planned('y'),
        columns,
      },
      variant,
    );
    const result = await runSteps(device, steps, {
      buffers: { 'planned:x': x, 'weight:gain': gain, 'planned:y': new Float32Array(x.length) },
      variables: { tokens },
      read: ['planned:y'],
    });
    expectClose(new Float32Array(result['planned:y']!), rmsNormReference(x, gain, 1e-5), 1e-5);
  });
});
