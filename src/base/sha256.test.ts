import { expect, test } from 'vitest';
import { Sha256, sha256Hex } from './sha256.ts';

/** FIPS 180-4's examples. */
test.each([
  ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  ],
])('SHA-256 of "%s"', async (text, expected) => {
  const bytes = new TextEncoder().encode(text);
  expect(await sha256Hex(bytes)).toBe(expected);
  expect(new Sha256().add(bytes).hex()).toBe(expected);
});

test('in pieces of any length, and all lengths around the ends of blocks, as WebCrypto has it', async () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
  for (const length of [1, 55, 56, 63, 64, 65, 200, 999]) {
    const sha256 = new Sha256();
    for (let at = 0; at < bytes.byteLength; at += length) sha256.add(bytes.subarray(at, at + length));
    expect(sha256.hex(), `${length}`).toBe(await sha256Hex(bytes));
  }
  for (let length = 0; length < 290; length++) {
    const part = bytes.slice(3, 3 + length);
    expect(new Sha256().add(part).hex(), `${length}`).toBe(await sha256Hex(part));
  }
});
