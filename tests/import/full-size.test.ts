/** Mistral Small's own size: a Q4_K_M of 14.3 GB, whose bytes are computed as they are read. */
import { beforeAll, expect, test } from 'vitest';
import { writeModel } from '../../src/engine/import/import-model.ts';
import { openLocalGguf, openSource } from '../../src/engine/import/open-source.ts';
import { planSource } from '../../src/engine/import/plan-source.ts';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import type { Gguf, GgufValue } from '../../src/formats/gguf/gguf.ts';
import { parseGguf } from '../../src/formats/gguf/parse-gguf.ts';
import { BLOCK_FORMATS } from '../../src/formats/quant/formats.ts';
import { permuteRows } from '../tools/permute-rows.ts';
import { createRandom } from '../tools/random.ts';
import {
  createSyntheticGguf,
  type SyntheticGguf,
  type SyntheticHeader,
  startSyntheticServer,
} from '../tools/synthetic-gguf.ts';

const FOUR_GIB = 2 ** 32;

let file: SyntheticGguf;
beforeAll(() => {
  file = createSyntheticGguf();
});

function counting(source: ByteSource): ByteSource & { bytesRead: number } {
  return {
    byteLength: source.byteLength,
    bytesRead: 0,
    read(offset, length, signal) {
      this.bytesRead += length;
      return source.read(offset, length, signal);
    },
  };
}

test('has the size, the tensors and the types of a public build', async () => {
  expect(file.byteLength).toBe(14_332_188_544);
  const source = counting(file);
  const gguf = await parseGguf(source);
  expect(source.bytesRead).toBeLessThan(8 << 20);
  expect(gguf.dataOffsetBytes).toBe(file.headerBytes);
  expect(gguf.tensors).toHaveLength(363);
  expect(countTypes(gguf)).toEqual({ F32: 81, Q4_K: 241, Q6_K: 41 });
  expect(gguf.tensors.filter(({ offsetBytes }) => offsetBytes > FOUR_GIB).length).toBeGreaterThan(200);
  const last = gguf.tensors.at(-1);
  expect((last?.offsetBytes ?? 0) + (last?.byteLength ?? 0)).toBe(file.byteLength);
});

function countTypes({ tensors }: Gguf): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { type } of tensors) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

test('is looked at and planned in seconds', async () => {
  const server = await startSyntheticServer(file);
  try {
    const startMs = performance.now();
    const { plan, opened } = await planSource(await openSource({ kind: 'address', address: server.url }));
    const seconds = (performance.now() - startMs) / 1000;
    console.log(`Header, tokenizer and plan in ${seconds.toFixed(1)} s`);
    // Seconds; but for a machine that is many times slower.
    expect(seconds).toBeLessThan(300);
    expect(server.sentBytes()).toBeLessThan(20 << 20);
    expect(opened.prepared).toMatchObject({
      template: { id: 'mistral-v11' },
      model: { parameterCount: 23_572_403_200 },
    });
    expect(plan.matrices.size + plan.vectors.size).toBe(363);
    expect(plan.sourceByteLength).toBeGreaterThan(14e9);
    // As stored, a Q6_K may take a little more than in the file.
    expect(plan.byteLength / plan.sourceByteLength).toBeCloseTo(1, 1);
  } finally {
    await server.close();
  }
});

const text = (value: string): GgufValue => ({ type: 'string', value });

test.each<[string, (header: SyntheticHeader) => void, string, RegExp]>([
  [
    'another architecture',
    ({ metadata }) => metadata.set('general.architecture', text('qwen3')),
    'architecture-unsupported',
    /"qwen3", supported are llama, mistral3/,
  ],
  [
    'a type that no kernel reads',
    ({ tensors }) => {
      const index = tensors.findIndex(({ name }) => name === 'blk.39.ffn_up.weight');
      tensors[index] = { ...tensors[index]!, type: 'IQ2_XXS' };
    },
    'format-unsupported',
    /IQ2_XXS \(the first is "blk\.39\.ffn_up\.weight"\), supported are .*Q4_K/,
  ],
  [
    'another pre-tokenizer',
    ({ metadata }) => metadata.set('tokenizer.ggml.pre', text('deepseek-v3')),
    'tokenizer-unsupported',
    /"deepseek-v3"; supported: .*tekken/,
  ],
  [
    'another chat template',
    ({ metadata }) => metadata.set('tokenizer.chat_template', text("{{ '### Instruction:' }}")),
    'template-unsupported',
    /It begins: \{\{ '### Instruction:' \}\}/,
  ],
])('%s is refused by name when only the header was sent', async (_, change, code, message) => {
  const changed = createSyntheticGguf(change);
  const server = await startSyntheticServer(changed);
  try {
    await expect(openSource({ kind: 'address', address: server.url })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    // The last window of the header reaches beyond it.
    const most = changed.headerBytes + (1 << 20);
    expect(server.sentBytes()).toBeLessThan(most);
    expect(server.lastByte()).toBeLessThan(most);
  } finally {
    await server.close();
  }
});

const SPOTS = [
  'lm_head',
  'model.embed_tokens',
  'model.layers.0.mlp.down_proj',
  'model.layers.11.self_attn.k_proj',
  'model.layers.20.self_attn.q_proj',
  'model.layers.30.self_attn.v_proj',
  'model.layers.39.mlp.up_proj',
];
const SPOT_LIMITS = { maxRecordBytes: 12 << 20, maxShardBytes: 16 << 20 };

test('shards here and there hold the very bytes of the source', async () => {
  const source = file;
  const opened = await openLocalGguf([{ name: 'model.gguf', source }], null, {});
  const { plan } = await planSource(opened, SPOT_LIMITS);
  const random = createRandom(4);
  const wanted = SPOTS.map((name) => {
    const { parts } = plan.matrices.get(name)!;
    return parts[Math.floor(random() * parts.length)]!.quants;
  });
  const chosen = plan.shards.filter(({ records }) => records.some(({ name }) => wanted.includes(name)));
  const others = plan.shards.filter((shard) => !chosen.includes(shard));
  const records = new Map<string, Uint8Array>();
  await writeModel(
    opened.prepared,
    plan,
    source,
    {
      async writeShard(shard, _, bytes) {
        for (const { name, byteOffset, nbytes } of shard.records) {
          records.set(name, bytes.slice(byteOffset, byteOffset + nbytes));
        }
      },
      async complete() {},
    },
    // Said to be there already: only the chosen ones are read.
    { finished: new Map(others.map(({ name }) => [name, '0'.repeat(64)])) },
  );
  const { tensors } = await parseGguf(source);
  const offsets: number[] = [];
  for (const [name, matrix] of plan.matrices) {
    const tensor = tensors.find((candidate) => candidate.name === ggufNameOf(name))!;
    for (const part of matrix.parts) {
      const quants = records.get(part.quants);
      if (quants === undefined) continue;
      const rowBytes = tensor.byteLength / matrix.rows;
      const offset = tensor.offsetBytes + part.rowStart * rowBytes;
      const unpacked = new Uint8Array(part.rows * rowBytes);
      const scales = part.scales === null ? new Uint8Array(0) : records.get(part.scales)!;
      BLOCK_FORMATS.get(tensor.type)!.unpack(quants, scales, unpacked);
      const isRotated = name.endsWith('q_proj') || name.endsWith('k_proj');
      const blocks = isRotated ? permuteRows(unpacked, part.rows, HEAD_DIM) : unpacked;
      const expected = await source.read(offset, unpacked.byteLength);
      expect(Buffer.compare(blocks, expected), part.quants).toBe(0);
      offsets.push(offset + unpacked.byteLength);
    }
  }
  expect(offsets.length).toBeGreaterThanOrEqual(SPOTS.length);
  expect(offsets.filter((offset) => offset > FOUR_GIB).length).toBeGreaterThanOrEqual(4);
});

const HEAD_DIM = 128;
const GGUF_NAMES: Readonly<Record<string, string>> = {
  lm_head: 'output',
  'model.embed_tokens': 'token_embd',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};

function ggufNameOf(name: string): string {
  const [, layer, tensor] = /^model\.layers\.(\d+)\.(.*)$/.exec(name) ?? [];
  return tensor === undefined ? `${GGUF_NAMES[name]}.weight` : `blk.${layer}.${GGUF_NAMES[tensor]}.weight`;
}

test('its server gives the very bytes, by ranges', async () => {
  const server = await startSyntheticServer(file);
  try {
    const head = await fetch(server.url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(file.byteLength));
    for (const offset of [0, file.headerBytes - 7, FOUR_GIB + 1, file.byteLength - 3_000_000]) {
      const last = Math.min(file.byteLength, offset + 3_000_000) - 1;
      const response = await fetch(server.url, { headers: { range: `bytes=${offset}-${last}` } });
      expect(response.status).toBe(206);
      expect(response.headers.get('content-range')).toBe(`bytes ${offset}-${last}/${file.byteLength}`);
      const bytes = new Uint8Array(await response.arrayBuffer());
      expect(Buffer.compare(bytes, await file.read(offset, last + 1 - offset)), `at ${offset}`).toBe(0);
    }
    const stale = await fetch(server.url, {
      method: 'HEAD',
      headers: { range: 'bytes=0-1', 'if-range': '"x"' },
    });
    expect(stale.status).toBe(200);
    const beyond = await fetch(server.url, { headers: { range: `bytes=${file.byteLength}-` } });
    expect(beyond.status).toBe(416);
  } finally {
    await server.close();
  }
});
