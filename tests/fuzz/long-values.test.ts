/**
 * Values as long as the header's limits let them be, of what patterns and loops are slow on: each file must be read or
 * refused in time that grows with its length. Where it does not, a test here takes hours instead of seconds.
 */
import { expect, test } from 'vitest';
import { memorySource } from '../../src/formats/byte-source.ts';
import type { GgufValue } from '../../src/formats/gguf/gguf.ts';
import { parseGguf } from '../../src/formats/gguf/parse-gguf.ts';
import { writeGguf } from '../tools/gguf-writer.ts';
import { readCorpus } from './gguf-fuzz.ts';
import { judge } from './judge.ts';

const LENGTH = 250_000;

async function seedWith(name: string, changes: Record<string, GgufValue>): Promise<Uint8Array> {
  const seed = readCorpus().find((file) => file.name === name)?.bytes ?? new Uint8Array(0);
  const gguf = await parseGguf(memorySource(seed));
  return writeGguf({
    metadata: [...new Map([...gguf.metadata, ...Object.entries(changes)])],
    tensors: gguf.tensors.map(({ offsetBytes, byteLength, ...tensor }) => ({
      ...tensor,
      bytes: seed.subarray(offsetBytes, offsetBytes + byteLength),
    })),
  });
}

const text = (value: string): GgufValue => ({ type: 'string', value });

const KEYS = [
  ...['general.architecture', 'general.name', 'general.license', 'general.source.url'],
  ...['llama.rope.scaling.type', 'tokenizer.ggml.model', 'tokenizer.ggml.pre', 'tokenizer.chat_template'],
];
const UNITS = [
  '.',
  '-',
  ' ',
  "'",
  "\\'",
  '{',
  '{%',
  '<',
  '[INST]',
  "'[INST] ",
  '0',
  'é',
  '\ufffd',
  '-.',
  'a ',
];

test.each(KEYS)('%s', async (key) => {
  for (const unit of UNITS) {
    const value = `a${unit.repeat(LENGTH / unit.length)}a`;
    expect(await judge(await seedWith('llama-v7.gguf', { [key]: text(value) })), unit).toMatch(/^\w/);
  }
});

async function strings(name: string, key: string): Promise<string[]> {
  const seed = readCorpus().find((file) => file.name === name)?.bytes ?? new Uint8Array(0);
  const value = (await parseGguf(memorySource(seed))).metadata.get(key)?.value;
  return [...(value as string[])];
}

test.each(['llama-v7.gguf', 'llama-sentencepiece.gguf'])(
  '%s: a long token, and a long merge',
  async (name) => {
    const tokens = await strings(name, 'tokenizer.ggml.tokens');
    for (const unit of ['a', ' ', '▁', '<', '<0x']) {
      const long = unit.repeat(LENGTH / unit.length);
      const changed = [...tokens.slice(0, -2), long, ...tokens.slice(-1)];
      for (const [key, value] of [
        ['tokenizer.ggml.tokens', changed],
        ['tokenizer.ggml.merges', ['a b', `${long} a`, `a ${long}`, long]],
      ] as const) {
        const bytes = await seedWith(name, { [key]: { type: 'array', elementType: 'string', value } });
        expect(await judge(bytes), unit).toMatch(/^\w/);
      }
    }
  },
);

test('many tokens that are cut in many ways', async () => {
  const name = 'llama-sentencepiece.gguf';
  const tokens = await strings(name, 'tokenizer.ggml.tokens');
  const letters = tokens.slice(0, 263);
  // Each is cut into two others at every place: two million merges.
  const runs = Array.from({ length: 2000 }, (_, index) => 'a'.repeat(index + 1));
  const all = [...letters, '▁', ...runs];
  const bytes = await seedWith(name, {
    'tokenizer.ggml.tokens': { type: 'array', elementType: 'string', value: all },
    'tokenizer.ggml.scores': { type: 'array', elementType: 'float32', value: all.map(() => 0) },
    'tokenizer.ggml.token_type': {
      type: 'array',
      elementType: 'int32',
      value: all.map((_, id) => (id < 7 ? 3 : id < 263 ? 6 : 1)),
    },
  });
  expect(await judge(bytes)).toMatch(/^tokenizer-/);
});
