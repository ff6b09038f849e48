import { describe, expect, test } from 'vitest';
import { MISTRAL_SMALL } from '../../../../tests/tools/describe-model.ts';
import { planCaps } from '../../../../tests/tools/plan-caps.ts';
import { evaluateDim, planned } from '../../library-spec.ts';
import { keyCacheIndex, kvCacheByteLength, PAGE_POSITIONS, valueCacheIndex } from './kv-cache.ts';
import { planRopeKv, ropeTable } from './rope-kv.plan.ts';

const caps = planCaps.least;
const operands = {
  qkv: planned('qkv'),
  ropeTable: planned('rope'),
  keyCache: planned('k'),
  valueCache: planned('v'),
  architecture: MISTRAL_SMALL,
  contextLength: 32768,
};

describe('rope table', () => {
  const { headDim, ropeTheta } = MISTRAL_SMALL;
  const table = new Float32Array(ropeTable(MISTRAL_SMALL, 131072).buffer);

  test('is small', () => expect(table.byteLength).toBe((256 + 512) * 128 * 4));

  test.each([0, 1, 255, 256, 257, 4095, 65536, 131071])('gives the angle of position %i', (position) => {
    const at = (entry: number, i: number) => table[entry * headDim + i]!;
    for (let i = 0; i < headDim / 2; i++) {
      const [low, high] = [position % 256, 256 + Math.floor(position / 256)];
      const [lc, ls] = [at(low, i), at(low, headDim / 2 + i)];
      const [hc, hs] = [at(high, i), at(high, headDim / 2 + i)];
      const angle = position * ropeTheta ** ((-2 * i) / headDim);
      expect(Math.abs(Math.fround(hc * lc - hs * ls) - Math.cos(angle))).toBeLessThan(2e-7);
      expect(Math.abs(Math.fround(hs * lc + hc * ls) - Math.sin(angle))).toBeLessThan(2e-7);
    }
  });
});

describe('KV cache layout', () => {
  test('gives every element a place of its own, and the first positions a prefix', () => {
    const shape = { headCount: 4, kvHeadCount: 2, headDim: 32 };
    for (const index of [keyCacheIndex, valueCacheIndex]) {
      const seen = new Set<number>();
      for (let position = 0; position < 2 * PAGE_POSITIONS; position++) {
        for (let head = 0; head < 2; head++) {
          for (let d = 0; d < 32; d++) seen.add(index(shape, position, head, d));
        }
        if (position === PAGE_POSITIONS - 1) expect(Math.max(...seen)).toBe(PAGE_POSITIONS * 64 - 1);
      }
      expect(seen.size).toBe(2 * PAGE_POSITIONS * 64);
      expect(Math.max(...seen) * 2 + 2).toBe(kvCacheByteLength(shape, 65).key);
    }
  });

  test('holds Mistral Small at 32k within a 128 MiB binding', () => {
    expect(kvCacheByteLength(MISTRAL_SMALL, 32768)).toEqual({ key: 64 * 2 ** 20, value: 64 * 2 ** 20 });
  });
});

describe('planRopeKv', () => {
  test('is one dispatch that covers every token', () => {
    const [step, ...more] = planRopeKv(operands, caps);
    expect(more).toEqual([]);
    const variables = { one: 1, tokens: 17, position: 5, length: 22, count: 0, biased: 0 };
    expect(evaluateDim(step!.grid[0], variables) * 64).toBeGreaterThanOrEqual(17 * 48 * 8);
    expect(step!.kernel.wgsl).not.toContain('f16;');
  });

  test.each([
    ['a head width of 24', { headDim: 24 }, 'architecture-unsupported'],
    ['a head width of 512', { headDim: 512 }, 'architecture-unsupported'],
    ['heads that do not divide', { kvHeadCount: 5 }, 'architecture-unsupported'],
  ])('refuses %s', (_, change, code) => {
    expect(() => planRopeKv({ ...operands, architecture: { ...MISTRAL_SMALL, ...change } }, caps)).toThrow(
      expect.objectContaining({ code }),
    );
  });

  test('refuses a context whose keys exceed a binding', () => {
    expect(() => planRopeKv({ ...operands, contextLength: 65537 }, caps)).toThrow(
      expect.objectContaining({ code: 'adapter-limits' }),
    );
  });
});
