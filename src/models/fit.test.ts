import { expect, test } from 'vitest';
import { assessFit, type FitAdapter } from './fit.ts';

const model = { byteLength: 98_000_000, parameterCount: 135_000_000 };
const adapter: FitAdapter = {
  isSoftware: false,
  shaderF16: true,
  maxStorageBindingBytes: 2 ** 27,
  maxStorageBuffersPerStage: 8,
};
const plenty = { usedBytes: 0, quotaBytes: 98_000_000 };

test('a capable device with just enough space: good', () => {
  expect(assessFit(model, { adapter, storage: plenty, isStored: false })).toEqual({
    verdict: 'good',
    reasons: [],
  });
});

test('one byte of storage too few: impossible, unless it is stored already', () => {
  const storage = { usedBytes: 1, quotaBytes: 98_000_000 };
  expect(assessFit(model, { adapter, storage, isStored: false }).verdict).toBe('impossible');
  expect(assessFit(model, { adapter, storage, isStored: true }).verdict).toBe('good');
});

test('limits just below what is needed: impossible', () => {
  const situation = { storage: plenty, isStored: false };
  expect(
    assessFit(model, { ...situation, adapter: { ...adapter, maxStorageBindingBytes: 2 ** 27 - 1 } }).verdict,
  ).toBe('impossible');
  expect(
    assessFit(model, { ...situation, adapter: { ...adapter, maxStorageBuffersPerStage: 7 } }).verdict,
  ).toBe('impossible');
});

test('no f16 or no GPU: slow, and it says why', () => {
  const situation = { storage: null, isStored: false };
  const noF16 = assessFit(model, { ...situation, adapter: { ...adapter, shaderF16: false } });
  expect(noF16.verdict).toBe('slow');
  expect(noF16.reasons[0]).toContain('shader-f16');
  const software = assessFit(model, {
    ...situation,
    adapter: { ...adapter, isSoftware: true, shaderF16: false },
  });
  expect(software.verdict).toBe('slow');
  expect(software.reasons).toHaveLength(1);
});

test('no WebGPU: impossible', () => {
  expect(assessFit(model, { adapter: null, storage: plenty, isStored: true }).verdict).toBe('impossible');
});
