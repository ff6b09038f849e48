import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { Md5, md5Hex } from './md5.ts';

/** RFC 1321, A.5. */
test.each([
  ['', 'd41d8cd98f00b204e9800998ecf8427e'],
  ['a', '0cc175b9c0f1b6a831c399e269772661'],
  ['abc', '900150983cd24fb0d6963f7d28e17f72'],
  ['message digest', 'f96b697d7cb7938d525a2f31aaf161d0'],
  ['abcdefghijklmnopqrstuvwxyz', 'c3fcd3d76192e4007dfb496cca67e13b'],
  ['ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789', 'd174ab98d277d9f5a5611c2c9f419d9f'],
  [
    '12345678901234567890123456789012345678901234567890123456789012345678901234567890',
    '57edf4a22be3c955ac49da2e2107b67a',
  ],
])('MD5 of "%s"', (text, expected) => {
  expect(md5Hex(new TextEncoder().encode(text))).toBe(expected);
});

test('all lengths around the ends of blocks, of bytes in the middle of a buffer', () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => i * 7);
  for (let length = 0; length < 290; length++) {
    const part = bytes.subarray(3, 3 + length);
    expect(md5Hex(part), `${length}`).toBe(createHash('md5').update(part).digest('hex'));
  }
});

test('bytes that come in pieces of any length', () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
  for (const length of [1, 55, 56, 63, 64, 65, 200, 999]) {
    const md5 = new Md5();
    for (let at = 0; at < bytes.byteLength; at += length) md5.add(bytes.subarray(at, at + length));
    expect(md5.hex(), `${length}`).toBe(createHash('md5').update(bytes).digest('hex'));
  }
});
