import { expect, test } from 'vitest';
import { kernelReportSample } from '../../../tests/tools/kernel-report-sample.ts';
import { roofline } from '../../bench/kernels/roofline.ts';
import { describeRoofline } from './roofline-picture.ts';

test('the picture in words: the limits, and how near to them each kernel comes', () => {
  expect(describeRoofline(roofline(kernelReportSample))).toBe(
    'Roofline. Memory allows 20.0 GB/s, arithmetic 4000 GFLOP/s; they meet at 200 operations a byte. Of what these allow, the kernels reach: D1 matmul 50 %, P1 matmul 75 %.',
  );
});
