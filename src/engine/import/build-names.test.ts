import { describe, expect, test } from 'vitest';
import { FILE_TYPES } from '../../formats/gguf/ggml-types.ts';
import { findBuilds, listGgufBuilds, quantizationOf, runsQuantization } from './build-names.ts';

const files = (...paths: string[]) =>
  paths.map((path, index) => ({ path, byteLength: 10 ** index, sha256: null }));

describe('a quantization', () => {
  test.each([
    ['mistralai_Mistral-Small-3.2-24B-Instruct-2506-Q4_K_M.gguf', 'Q4_K_M'],
    ['Mistral-Small-3.2-24B-Instruct-2506-UD-Q4_K_XL.gguf', 'UD-Q4_K_XL'],
    ['smollm2-135m-instruct-q4_1.gguf', 'Q4_1'],
    ['mistral-7b-instruct-v0.2.Q5_K_S.gguf', 'Q5_K_S'],
    ['Mistral-Small.i1-IQ3_XXS.gguf', 'IQ3_XXS'],
    ['Phi-3-mini-4k-instruct-fp16.gguf', 'F16'],
    ['model-bf16.gguf', 'BF16'],
    ['model_q4_0_v2.gguf', 'Q4_0'],
    ['Q8_0.gguf', 'Q8_0'],
    ['BF16/Mistral-Small-00001-of-00002.gguf', 'BF16'],
    ['Q6_K_L/Mistral-Q6_K_L-00001-of-00002.gguf', 'Q6_K_L'],
    ['gpt-oss-20b-mxfp4.gguf', 'MXFP4'],
    ['Q4_0_4_4/x-Q4_0_4_4.gguf', 'Q4_0_4_4'],
    ['Mistral-Small-3.2.gguf', null],
    ['Qwen2.5-7B.gguf', null],
    ['MYQ4_K_MODEL.gguf', null],
  ])('of %s: %s', (path, expected) => expect(quantizationOf(path)).toBe(expected));

  test('of all that we can run is known to run', () => {
    for (const name of Object.values(FILE_TYPES)) expect(runsQuantization(name), name).toBe(true);
    for (const name of ['Q4_K_L', 'Q6_K_L', 'Q5_K', 'Q4_K']) expect(runsQuantization(name), name).toBe(true);
  });

  test('of what has no kernel is known not to run; of mixes only the header tells', () => {
    for (const name of [
      'Q2_K',
      'Q3_K_XL',
      'IQ1_S',
      'IQ2_XXS',
      'UD-IQ3_XXS',
      'TQ1_0',
      'MXFP4_MOE',
      'Q4_0_4_4',
    ]) {
      expect(runsQuantization(name), name).toBe(false);
    }
    for (const name of [null, 'UD-Q4_K_XL', 'Q8', 'Q8_K_XL']) expect(runsQuantization(name)).toBeNull();
  });
});

describe('a list of files', () => {
  test('as builds: splits are one, what is no model is left out', () => {
    expect(
      listGgufBuilds(
        files(
          'README.md',
          'BF16/m-BF16-00002-of-00002.gguf',
          'BF16/m-BF16-00001-of-00002.gguf',
          'm-Q4_K_M.GGUF',
          'mmproj-F16.gguf',
          'm-imatrix.gguf',
          'old/mmproj-m-Q8_0.gguf',
          'm.imatrix',
          'm-Q8_0.gguf.part1of2',
        ),
      ),
    ).toEqual([
      {
        path: 'BF16/m-BF16-00001-of-00002.gguf',
        byteLength: 110,
        fileCount: 2,
        quantization: 'BF16',
      },
      { path: 'm-Q4_K_M.GGUF', byteLength: 1000, fileCount: 1, quantization: 'Q4_K_M' },
    ]);
  });

  test('splits of the same name in other folders, or in another number, are other builds', () => {
    const paths = ['a/m-00001-of-00002.gguf', 'b/m-00001-of-00002.gguf', 'a/m-00001-of-00003.gguf'];
    expect(listGgufBuilds(files(...paths)).map(({ path }) => path)).toEqual(paths);
  });
});

describe('a tag', () => {
  const builds = listGgufBuilds(
    files(
      'm-Q4_K_M.gguf',
      'm-UD-Q4_K_M.gguf',
      'm-Q4_K_S.gguf',
      'm-Q8_0-00001-of-00002.gguf',
      'v2/n-q5_1.gguf',
      'v3/n-q5_1.gguf',
    ),
  );
  test.each([
    ['q4_k_m', ['m-Q4_K_M.gguf']],
    ['UD-Q4_K_M', ['m-UD-Q4_K_M.gguf']],
    ['Q8_0', ['m-Q8_0-00001-of-00002.gguf']],
    ['m-Q8_0', ['m-Q8_0-00001-of-00002.gguf']],
    ['M-q4_k_s.gguf', ['m-Q4_K_S.gguf']],
    ['Q5_1', ['v2/n-q5_1.gguf', 'v3/n-q5_1.gguf']],
    ['v3', ['v3/n-q5_1.gguf']],
    ['Q4', ['m-Q4_K_M.gguf', 'm-UD-Q4_K_M.gguf', 'm-Q4_K_S.gguf']],
    ['Q3', []],
    ['4_K', []],
    ['.*', []],
  ])('%s', (tag, expected) => expect(findBuilds(builds, tag).map(({ path }) => path)).toEqual(expected));
});
