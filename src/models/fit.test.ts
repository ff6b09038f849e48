import { describe, expect, test } from 'vitest';
import { describeModel, MISTRAL_SMALL } from '../../tests/tools/describe-model.ts';
import { planCaps } from '../../tests/tools/plan-caps.ts';
import { lower } from '../modellib/lower.ts';
import {
  assessFit,
  contextSteps,
  type FitAdapter,
  type FitModel,
  type FitSituation,
  kvBytesPerToken,
  memoryNeed,
  sharesMemory,
} from './fit.ts';

const MIB = 2 ** 20;
const GIB = 2 ** 30;

const small: FitModel = {
  byteLength: 98_000_000,
  parameterCount: 135_000_000,
  maxContextLength: 8192,
  kvBytesPerToken: 23_040,
  layerCount: 30,
};
const large: FitModel = {
  byteLength: 14_333_909_728,
  parameterCount: 23_572_403_200,
  maxContextLength: 131_072,
  kvBytesPerToken: 163_840,
  layerCount: 40,
};
const adapter: FitAdapter = {
  vendor: 'nvidia',
  architecture: 'ampere',
  isSoftware: false,
  shaderF16: true,
  maxBufferBytes: 2 ** 31,
  maxStorageBindingBytes: 2 ** 30,
  maxWorkgroupStorageBytes: 32 * 1024,
  maxInvocationsPerWorkgroup: 256,
  maxStorageBuffersPerStage: 10,
};
const situation: FitSituation = {
  adapter,
  storage: { usedBytes: 0, quotaBytes: 98_000_000 },
  bytesToStore: 98_000_000,
  contextLength: 8192,
  deviceMemoryGib: null,
  probe: null,
};
const assess = (model: FitModel, changes: Partial<FitSituation> = {}) =>
  assessFit(model, { ...situation, ...changes });
const assessLarge = (changes: Partial<FitSituation> = {}) => assess(large, { bytesToStore: 0, ...changes });

test('a capable device with just enough space: good', () => {
  expect(assess(small)).toMatchObject({ verdict: 'good', findings: [], contextInstead: null });
});

test('one byte of storage too few: impossible, unless it is stored already', () => {
  const storage = { usedBytes: 1, quotaBytes: 98_000_000 };
  expect(assess(small, { storage }).verdict).toBe('impossible');
  expect(assess(small, { storage, bytesToStore: 0 }).verdict).toBe('good');
});

test.each([
  ['maxBufferBytes', 256 * MIB],
  ['maxStorageBindingBytes', 128 * MIB],
  ['maxWorkgroupStorageBytes', 32 * 1024],
  ['maxStorageBuffersPerStage', 10],
  ['maxInvocationsPerWorkgroup', 256],
] as const)('%s of one below %d: impossible, and the limit is named', (limit, least) => {
  expect(assess(small, { adapter: { ...adapter, [limit]: least } }).verdict).toBe('good');
  const short = assess(small, { adapter: { ...adapter, [limit]: least - 1 } });
  expect(short.verdict).toBe('impossible');
  expect(short.findings[0]?.text).toContain((least - 1).toLocaleString());
});

test('no f16 or no GPU: slow, and it says why; a prebuilt library for f16 cannot run', () => {
  const noF16 = { ...adapter, shaderF16: false };
  expect(assess(small, { adapter: noF16 })).toMatchObject({
    verdict: 'slow',
    findings: [{ text: expect.stringContaining('shader-f16') }],
  });
  const software = assess(small, { adapter: { ...noF16, isSoftware: true } });
  expect(software.verdict).toBe('slow');
  expect(software.findings).toHaveLength(1);
  const assessed = (needsShaderF16: boolean) =>
    assess({ ...small, library: { needsShaderF16 } }, { adapter: noF16 });
  expect(assessed(true)).toMatchObject({
    verdict: 'impossible',
    findings: [{ text: expect.stringContaining('shader-f16') }],
  });
  // What it was compiled for is as fast as it is anywhere.
  expect(assessed(false).verdict).toBe('good');
});

test('no WebGPU: impossible', () => {
  expect(assess(small, { adapter: null }).verdict).toBe('impossible');
});

describe('a model of 14 GB', () => {
  const wantedBytes = 32 * GIB;

  test('needs weights, 160 KiB of cache a token, and room to work', () => {
    expect(memoryNeed(large, 8192)).toEqual({
      weightBytes: 14_333_909_728,
      kvCacheBytes: 1.25 * GIB,
      workingBytes: 256 * MIB,
      totalBytes: 14_333_909_728 + 1.5 * GIB,
    });
  });

  test('on a GPU of unknown size: untested, with what it needs', () => {
    expect(assessLarge()).toMatchObject({
      verdict: 'untested',
      findings: [{ text: expect.stringContaining('14.8 GiB of GPU memory') }],
    });
  });

  test('with a test that granted enough: good; one that ended at less than is asked now: untested', () => {
    const { totalBytes } = memoryNeed(large, 8192);
    const probe = { wantedBytes: totalBytes, grantedBytes: totalBytes };
    expect(assessLarge({ probe }).verdict).toBe('good');
    expect(assessLarge({ probe, contextLength: 16_384 }).verdict).toBe('untested');
  });

  test('one byte short of the memory that the GPU granted: impossible, and a shorter context instead', () => {
    const grantedBytes = memoryNeed(large, 8192).totalBytes;
    expect(assessLarge({ probe: { wantedBytes, grantedBytes } }).verdict).toBe('good');
    expect(assessLarge({ probe: { wantedBytes, grantedBytes: grantedBytes - 1 } })).toMatchObject({
      verdict: 'impossible',
      findings: [{ text: expect.stringContaining('granted 14.8 GiB') }],
      contextInstead: 6144,
    });
  });

  test('where the weights alone do not fit there is no shorter context', () => {
    expect(assessLarge({ probe: { wantedBytes, grantedBytes: 8 * GIB } })).toMatchObject({
      verdict: 'impossible',
      contextInstead: null,
    });
  });

  test('a cache that one binding cannot hold bounds the context', () => {
    const narrow = { ...adapter, maxStorageBindingBytes: 128 * MIB };
    const probe = { wantedBytes, grantedBytes: wantedBytes };
    expect(assessLarge({ adapter: narrow, probe, contextLength: 65_536 }).verdict).toBe('good');
    expect(assessLarge({ adapter: narrow, probe, contextLength: 98_304 })).toMatchObject({
      verdict: 'impossible',
      contextInstead: 65_536,
    });
    expect(assessLarge({ probe, contextLength: 98_304 }).verdict).toBe('good');
  });

  test('a device whose whole memory is too small, where the GPU shares it: impossible without a test', () => {
    const apple = { ...adapter, vendor: 'apple', architecture: 'metal-3' };
    expect(assessLarge({ adapter: apple, deviceMemoryGib: 4 })).toMatchObject({
      verdict: 'impossible',
      findings: [{ text: expect.stringContaining('about 4 GiB in all') }],
    });
    // 8 and 32 may stand for more; a graphics card has memory of its own.
    for (const deviceMemoryGib of [8, 32]) {
      expect(assessLarge({ adapter: apple, deviceMemoryGib }).verdict).toBe('untested');
    }
    expect(assessLarge({ deviceMemoryGib: 4 }).verdict).toBe('untested');
  });

  test('a software adapter would take minutes for a word', () => {
    const software = { ...adapter, isSoftware: true };
    expect(assessLarge({ adapter: software }).verdict).toBe('too-slow');
    expect(assessLarge({ adapter: software, deviceMemoryGib: 4 }).verdict).toBe('impossible');
  });

  test('a GPU that shares a laptop’s memory is slow, and it says how slow', () => {
    const intel = { ...adapter, vendor: 'intel', architecture: 'xe-lpg' };
    const probe = { wantedBytes, grantedBytes: wantedBytes };
    expect(assessLarge({ adapter: intel, probe })).toMatchObject({
      verdict: 'slow',
      findings: [{ text: expect.stringContaining('at most 7 tokens a second') }],
    });
    expect(sharesMemory({ ...intel, architecture: 'xe-2hpg' })).toBe(false);
  });
});

test('a prebuilt library needs what its makers say, and more for a longer context', () => {
  const library = { needsShaderF16: false, need: { memoryBytes: 4_795_546_993, contextLength: 4096 } };
  const model: FitModel = { ...large, byteLength: 4_080_000_000, kvBytesPerToken: 131_072, library };
  expect(memoryNeed(model, 4096).totalBytes).toBe(4_795_546_993);
  expect(memoryNeed(model, 8192).totalBytes).toBe(4_795_546_993 + 4096 * 131_072);
});

test('contexts to choose from double, with a step between, up to the model’s own', () => {
  expect(contextSteps(8192)).toEqual([2048, 3072, 4096, 6144, 8192]);
  expect(contextSteps(131_072).slice(-3)).toEqual([65_536, 98_304, 131_072]);
  expect(contextSteps(5000)).toEqual([2048, 3072, 4096, 5000]);
  expect(contextSteps(1024)).toEqual([1024]);
});

describe('the estimate holds what the model library plans', () => {
  const shapes = {
    'Mistral Small': MISTRAL_SMALL,
    'Mistral 7B': {
      ...MISTRAL_SMALL,
      hiddenSize: 4096,
      layerCount: 32,
      intermediateSize: 14336,
      vocabularySize: 32768,
    },
    SmolLM2: {
      ...MISTRAL_SMALL,
      hiddenSize: 576,
      layerCount: 30,
      headCount: 9,
      kvHeadCount: 3,
      headDim: 64,
      intermediateSize: 1536,
      vocabularySize: 49152,
      tiedEmbeddings: true,
    },
  };
  test.each(Object.entries(shapes))('%s', (_name, architecture) => {
    const contextLength = 32_768;
    const caps = { ...planCaps.least, maxStorageBindingBytes: GIB };
    const plan = lower(describeModel(architecture, 'q4_0'), caps, {
      contextLength,
      prefillChunkLength: 256,
    });
    const need = memoryNeed(
      {
        byteLength: plan.weightBytes,
        parameterCount: 1,
        maxContextLength: architecture.maxContextLength,
        kvBytesPerToken: kvBytesPerToken(architecture),
        layerCount: architecture.layerCount,
      },
      contextLength,
    );
    expect(need.kvCacheBytes).toBe(plan.kvCacheBytes);
    expect(need.workingBytes).toBeGreaterThan(plan.activationBytes + Math.min(24 * MIB, plan.weightBytes));
  });
});
