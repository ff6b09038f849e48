/**
 * MD5 (RFC 1321), which WebCrypto does not have: the checksum that folders in MLC's layout list. It tells files that
 * arrived wrong from those that arrived well, and is no protection against somebody who makes a file to match.
 */
import { BlockHash } from './block-hash.ts';

/** Left rotations: four a round, in turn. */
const SHIFTS = Uint8Array.of(7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21);
/** What is added in each of the 64 steps: the first 32 bits of |sin(step)|. */
const SINES = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));

export class Md5 extends BlockHash {
  constructor() {
    super(Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476), true);
  }

  protected addBlock(state: Int32Array, words: Int32Array): void {
    addBlock(state, words);
  }
}

/** @returns 32 hex digits */
export function md5Hex(bytes: Uint8Array): string {
  return new Md5().add(bytes).hex();
}

/** One loop a round, so that no step has a choice to make. */
function addBlock(state: Int32Array, words: Int32Array): void {
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  for (let step = 0; step < 16; step++) {
    const next = (b + rotate(a, (b & c) | (~b & d), SINES[step]!, words[step]!, SHIFTS[step & 3]!)) | 0;
    a = d;
    d = c;
    c = b;
    b = next;
  }
  for (let step = 16; step < 32; step++) {
    const word = words[(5 * step + 1) & 15]!;
    const next = (b + rotate(a, (d & b) | (~d & c), SINES[step]!, word, SHIFTS[4 + (step & 3)]!)) | 0;
    a = d;
    d = c;
    c = b;
    b = next;
  }
  for (let step = 32; step < 48; step++) {
    const word = words[(3 * step + 5) & 15]!;
    const next = (b + rotate(a, b ^ c ^ d, SINES[step]!, word, SHIFTS[8 + (step & 3)]!)) | 0;
    a = d;
    d = c;
    c = b;
    b = next;
  }
  for (let step = 48; step < 64; step++) {
    const word = words[(7 * step) & 15]!;
    const next = (b + rotate(a, c ^ (b | ~d), SINES[step]!, word, SHIFTS[12 + (step & 3)]!)) | 0;
    a = d;
    d = c;
    c = b;
    b = next;
  }
  state[0] = (state[0]! + a) | 0;
  state[1] = (state[1]! + b) | 0;
  state[2] = (state[2]! + c) | 0;
  state[3] = (state[3]! + d) | 0;
}

function rotate(a: number, mixed: number, sine: number, word: number, shift: number): number {
  // Cut to 32 bits at once: sums that are no integers of the machine take several times as long.
  const sum = (((a + mixed) | 0) + ((sine + word) | 0)) | 0;
  return (sum << shift) | (sum >>> (32 - shift));
}
