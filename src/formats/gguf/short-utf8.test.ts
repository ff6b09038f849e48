import { expect, test } from 'vitest';
import { createRandom } from '../../../tests/tools/random.ts';
import { decodeShortUtf8 } from './short-utf8.ts';

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

function decodeByPlatform(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

const decode = (bytes: Uint8Array) => decodeShortUtf8(bytes, 0, bytes.byteLength);

test.each([
  '',
  'a',
  '\u0000\u007f',
  '\u0080\u07ff',
  '\u0800\ud7ff\ue000\uffff',
  '\ufeffĠthe',
  '▁größer',
  'x'.repeat(256),
])('%j is decoded', (text) => {
  const bytes = encoder.encode(text);
  expect(decode(bytes)).toBe(text);
  const inside = Uint8Array.of(0xff, ...bytes, 0x80);
  expect(decodeShortUtf8(inside, 1, 1 + bytes.byteLength)).toBe(text);
});

test('what is long or beyond U+FFFF is left to others', () => {
  expect(decode(encoder.encode('x'.repeat(257)))).toBeNull();
  expect(decode(encoder.encode('a😀'))).toBeNull();
});

test('whatever the bytes are, what is decoded is what the platform decodes', () => {
  // Lengths of one and two bytes are tried whole; of three, those that begin a sequence.
  for (let first = 0; first < 256; first++) {
    for (let second = 0; second < 256; second++) {
      const two = Uint8Array.of(first, second);
      expectSame(two);
      if (first >= 0xc0)
        for (const third of [0x7f, 0x80, 0xbf, 0xc0]) expectSame(Uint8Array.of(...two, third));
    }
  }
  const random = createRandom(3);
  for (let run = 0; run < 2000; run++) {
    const bytes = encoder.encode('aé▁\uffff'.repeat(3)).slice();
    bytes[Math.floor(random() * bytes.byteLength)] = random() * 256;
    expectSame(bytes.subarray(0, random() * bytes.byteLength));
  }
});

function expectSame(bytes: Uint8Array): void {
  const expected = decodeByPlatform(bytes);
  const found = decode(bytes);
  const isForOthers = found === null && /[\ud800-\udfff]/.test(expected ?? '');
  if (found !== expected && !isForOthers) expect([...bytes, found]).toEqual([...bytes, expected]);
}
