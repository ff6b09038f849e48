/** What a library needs is read from the WGSL in it: of one of ours, and in every way WGSL has to say it. */
import { describe, expect, test } from 'vitest';
import { describeModel, SMALL_SHAPE } from '../../tests/tools/describe-model.ts';
import { planCaps } from '../../tests/tools/plan-caps.ts';
import type { GpuCaps } from '../modellib/gpu-caps.ts';
import { link } from '../modellib/link.ts';
import { lower } from '../modellib/lower.ts';
import { describeLibrary, requireFeatures } from './prebuilt-library.ts';

const { least, best } = planCaps;

function build(caps: GpuCaps): ArrayBuffer {
  const options = { contextLength: 128, prefillChunkLength: 64 };
  return link(lower(describeModel(SMALL_SHAPE, 'q4f16_1'), caps, options).spec).buffer;
}

function missingOf(library: ArrayBuffer, caps: GpuCaps): unknown {
  try {
    requireFeatures(library, caps);
    return [];
  } catch (error) {
    expect(error).toMatchObject({ code: 'feature-missing', nextStep: expect.any(String) });
    return (error as { data: { missing: unknown } }).data.missing;
  }
}

test('a library of ours needs what it was made for', () => {
  const plain = build(least);
  expect(describeLibrary(plain)).toEqual({ needsShaderF16: false });
  expect(missingOf(plain, least)).toEqual([]);
  const fast = build(best);
  expect(describeLibrary(fast)).toEqual({ needsShaderF16: true });
  expect(missingOf(fast, best)).toEqual([]);
  expect(missingOf(fast, least)).toEqual(['shader-f16', 'subgroups']);
  expect(missingOf(fast, { ...best, shaderF16: false })).toEqual(['shader-f16']);
});

describe('in text between other bytes', () => {
  test.each([
    ['\0enable f16;\n\n', ['shader-f16']],
    ['\xffenable subgroups, f16;', ['shader-f16', 'subgroups']],
    ['enable\tf16 , subgroups ,;', ['shader-f16', 'subgroups']],
    ['enable dual_source_blending;', []],
    ['"\\nenable f16;\\n"', ['shader-f16']],
    ['enable debugging\nenable  f16;', ['shader-f16']],
    ['enablef16;', []],
    ['enable f16', []],
    ['', []],
  ])('%j', (text, missing) => {
    const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
    expect(missingOf(bytes.buffer, least)).toEqual(missing);
  });

  test.each(['enable', 'enable a', 'enable a,'])('a megabyte of blanks after %j ends', (start) => {
    const bytes = new Uint8Array(1 << 20).fill(0x20);
    bytes.set(new TextEncoder().encode(start));
    expect(missingOf(bytes.buffer, least)).toEqual([]);
  });

  test('so does a megabyte of directives that do not end', () => {
    expect(missingOf(new TextEncoder().encode('enable '.repeat(150_000)).buffer, least)).toEqual([]);
  });
});
