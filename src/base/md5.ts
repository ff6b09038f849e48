/**
 * MD5 (RFC 1321), which WebCrypto does not have: the checksum that folders in MLC's layout list. It tells files that
 * arrived wrong from those that arrived well, and is no protection against somebody who makes a file to match.
 */

const BLOCK_BYTES = 64;
/** Left rotations: four a round, in turn. */
const SHIFTS = Uint8Array.of(7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21);
/** What is added in each of the 64 steps: the first 32 bits of |sin(step)|. */
const SINES = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32));

/** @returns 32 hex digits */
export function md5Hex(bytes: Uint8Array): string {
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  const words = new Int32Array(BLOCK_BYTES / 4);
  const whole = bytes.byteLength - (bytes.byteLength % BLOCK_BYTES);
  addBlocks(state, words, new DataView(bytes.buffer, bytes.byteOffset, whole));
  addBlocks(state, words, paddedRest(bytes, whole));
  const digest = new DataView(new ArrayBuffer(16));
  state.forEach((word, i) => {
    digest.setInt32(i * 4, word, true);
  });
  return Array.from({ length: 16 }, (_, i) => digest.getUint8(i).toString(16).padStart(2, '0')).join('');
}

/** What is left of the bytes, a bit, zeros, and how many bits there were: one block or two. */
function paddedRest(bytes: Uint8Array, from: number): DataView {
  const rest = bytes.subarray(from);
  const length = rest.byteLength + 9 > BLOCK_BYTES ? 2 * BLOCK_BYTES : BLOCK_BYTES;
  const padded = new Uint8Array(length);
  padded.set(rest);
  padded[rest.byteLength] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(length - 8, BigInt(bytes.byteLength) * 8n, true);
  return view;
}

function addBlocks(state: Int32Array, words: Int32Array, view: DataView): void {
  for (let offset = 0; offset < view.byteLength; offset += BLOCK_BYTES) {
    for (let i = 0; i < words.length; i++) words[i] = view.getInt32(offset + i * 4, true);
    addBlock(state, words);
  }
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
