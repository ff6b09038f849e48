/** Cuts a GGUF into splits the way llama.cpp's gguf-split does: metadata in the first only, a tensor table in each. */

import { formatSplitName } from '../../src/engine/import/split-names.ts';
import { memorySource } from '../../src/formats/byte-source.ts';
import type { GgufValue } from '../../src/formats/gguf/gguf.ts';
import { parseGguf } from '../../src/formats/gguf/parse-gguf.ts';
import { writeGguf } from './gguf-writer.ts';

export interface SplitFile {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** @param emptyFirst as `--no-tensor-first-split`: metadata alone in the first */
export async function splitGguf(
  bytes: Uint8Array<ArrayBuffer>,
  prefix: string,
  count: number,
  emptyFirst = false,
): Promise<SplitFile[]> {
  const gguf = await parseGguf(memorySource(bytes));
  const holders = emptyFirst ? count - 1 : count;
  const perSplit = Math.ceil(gguf.tensors.length / holders);
  return Array.from({ length: count }, (_, number) => {
    const part = emptyFirst ? number - 1 : number;
    const tensors = part < 0 ? [] : gguf.tensors.slice(part * perSplit, (part + 1) * perSplit);
    const split: [string, GgufValue][] = [
      ['split.no', { type: 'uint16', value: number }],
      ['split.count', { type: 'uint16', value: count }],
      ['split.tensors.count', { type: 'int32', value: gguf.tensors.length }],
    ];
    return {
      name: formatSplitName({ prefix, number, count }),
      bytes: writeGguf({
        metadata: [...(number === 0 ? gguf.metadata : []), ...split],
        tensors: tensors.map(({ name, type, dimensions, offsetBytes, byteLength }) => ({
          name,
          type,
          dimensions,
          bytes: bytes.subarray(offsetBytes, offsetBytes + byteLength),
        })),
      }),
    };
  });
}
