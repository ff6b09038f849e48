/**
 * Bits of a GGUF's table of tensors that flip where no checksum tells: what they say of a tensor's name, shape, type and
 * place does not agree with the others, or with the architecture, any more. Every bit with TRAMONTANE_FULL.
 */
import { expect, test } from 'vitest';
import { createTinyMistralGguf, TINY_MISTRAL_SHAPE } from '../../../tests/tools/tiny-mistral.ts';
import { isTramontaneError } from '../../base/errors.ts';
import { memorySource } from '../../formats/byte-source.ts';
import { parseGguf } from '../../formats/gguf/parse-gguf.ts';
import { readSourceModel } from './gguf-architecture.ts';
import { planImport } from './import-plan.ts';

const LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 256 << 10 };
/** A prime, so that all of a byte's bits are met. */
const STEP = process.env.TRAMONTANE_FULL === undefined ? 23 : 1;

test('a flipped bit in the table of tensors is refused, or changes nothing', {
  timeout: 120_000,
}, async () => {
  const bytes = createTinyMistralGguf({ ...TINY_MISTRAL_SHAPE, layerCount: 1 }, 'plain');
  const read = async () => {
    const gguf = await parseGguf(memorySource(bytes));
    return { gguf, plan: JSON.stringify(planImport(readSourceModel(gguf), LIMITS).shards) };
  };
  const { gguf, plan } = await read();
  const entries = gguf.tensors.map(({ name }) => gguf.offsets.get(name)!);
  const end = gguf.dataOffsetBytes;
  const last = gguf.tensors.toSorted((a, b) => a.offsetBytes - b.offsetBytes).at(-1)!;
  // Nothing follows the last tensor that would tell its length: F32 (0) and F16 (1) are a bit apart.
  const typeBit = 8 * (gguf.offsets.get(last.name)! + 8 + last.name.length + 4 + 8 * last.dimensions.length);
  expect(last).toMatchObject({ type: 'F32', dimensions: [TINY_MISTRAL_SHAPE.hiddenSize] });
  let refused = 0;
  let count = 0;
  for (let bit = 8 * Math.min(...entries); bit < 8 * end; bit += STEP) {
    if (bit === typeBit) continue;
    count++;
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    try {
      expect((await read()).plan, `bit ${bit & 7} at ${bit >> 3}`).toBe(plan);
    } catch (error) {
      if (!isTramontaneError(error)) throw error;
      refused++;
    }
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
  // All but the padding before the data.
  expect(refused).toBeGreaterThan(count * 0.97);
});
