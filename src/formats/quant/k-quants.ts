/**
 * GGUF's formats of 256 weights: eight blocks of 32 with sub-scales under one scale d, and some a minimum dmin, all f16.
 * Weights of block j, or of half h of a block in Q6_K:
 *
 * | type   | group of bytes, in order                                                   | weight                       |
 * |--------|----------------------------------------------------------------------------|------------------------------|
 * | Q4_K   | d, dmin, 12 of sub-scales, 128 of nibbles                                  | d * sc[j] * q - dmin * m[j]  |
 * | Q5_K   | d, dmin, 12 of sub-scales, 32 of high bits, 128 of nibbles                 | as Q4_K                      |
 * | Q6_K   | 128 of nibbles, 64 of high pairs of bits, 16 sub-scales (int8), d          | d * sc[h] * (q - 32)         |
 * | IQ4_XS | d, 2 of high and 4 of low bits of sub-scales, 128 of nibbles as in IQ4_NL | d * (sc[j] - 32) * table[q]  |
 *
 * Source: block_q4_K and the following in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h, and
 * dequantize_row_q4_K in src/ggml-quants.c for the order of bits.
 */
import {
  copyWords,
  gatherNibbles,
  gatherPairs,
  joinNibbles,
  scatterNibbles,
  scatterPairs,
  splitNibbles,
} from './bits.ts';
import { type BlockFormat, groupFormat } from './block-format.ts';

/** Bytes of a group's nibbles: 16 a block. */
const NIBBLES = 128;

/** In Q4_K and Q5_K, 32 bytes hold the nibbles of two neighbouring blocks, one in the low halves and one in the high. */
function splitBlockPairs(from: DataView, at: number, to: DataView, toAt: number): void {
  for (let pair = 0; pair < NIBBLES; pair += 32) {
    splitNibbles(from, at + pair, 32, to, toAt + pair, toAt + pair + 16);
  }
}

function joinBlockPairs(from: DataView, fromAt: number, to: DataView, at: number): void {
  for (let pair = 0; pair < NIBBLES; pair += 32) {
    joinNibbles(from, fromAt + pair, fromAt + pair + 16, 32, to, at + pair);
  }
}

/**
 * The head of Q4_K and Q5_K: d and dmin, then twelve bytes of eight 6-bit scales and eight minimums. The first four of
 * each lie in a byte's low bits, with the upper bits of the last four above them. Packed into three words in which all
 * eight decode alike: the low nibbles of the scales, those of the minimums, and the high pairs of bits, of the scales
 * in the low half and of the minimums in the high half.
 */
function packHead(from: DataView, at: number, to: DataView, toAt: number): void {
  copyWords(from, at, to, toAt, 4);
  const scales = from.getInt32(at + 4, true);
  const minimums = from.getInt32(at + 8, true);
  const last = from.getInt32(at + 12, true);
  to.setInt32(toAt + 4, gatherNibbles(scales & 0x0f0f0f0f, last & 0x0f0f0f0f), true);
  to.setInt32(toAt + 8, gatherNibbles(minimums & 0x0f0f0f0f, (last >>> 4) & 0x0f0f0f0f), true);
  to.setInt32(toAt + 12, highPairs(scales) | (highPairs(minimums) << 16), true);
}

/** Bits 4 and 5 of four bytes, then bits 6 and 7. */
function highPairs(bytes: number): number {
  return gatherPairs((bytes >>> 4) & 0x03030303) | (gatherPairs((bytes >>> 6) & 0x03030303) << 8);
}

function restoreHead(from: DataView, fromAt: number, to: DataView, at: number): void {
  copyWords(from, fromAt, to, at, 4);
  const scales = from.getInt32(fromAt + 4, true);
  const minimums = from.getInt32(fromAt + 8, true);
  const pairs = from.getInt32(fromAt + 12, true);
  const high = (bits: number) => (scatterPairs(bits & 0xff) << 4) | (scatterPairs((bits >>> 8) & 0xff) << 6);
  to.setInt32(at + 4, scatterNibbles(scales & 0xffff) | high(pairs), true);
  to.setInt32(at + 8, scatterNibbles(minimums & 0xffff) | high(pairs >>> 16), true);
  to.setInt32(at + 12, scatterNibbles(scales >>> 16) | (scatterNibbles(minimums >>> 16) << 4), true);
}

const q4_k = groupFormat(
  'q4_k',
  (group, at, quants, quantAt, scales, scaleAt) => {
    packHead(group, at, scales, scaleAt);
    splitBlockPairs(group, at + 16, quants, quantAt);
  },
  (group, at, quants, quantAt, scales, scaleAt) => {
    restoreHead(scales, scaleAt, group, at);
    joinBlockPairs(quants, quantAt, group, at + 16);
  },
);

/**
 * High bits of Q5_K: bit j of byte c of the file is the high bit of column c of block j. Packed: a word a block, in
 * which column 4i + k is bit 16 * (i >> 2) + 4k + (i & 3), as in legacy.ts. Four words that each hold four bits of four
 * columns are transposed, by bits within and words between, which is its own inverse.
 */
const rows = new Int32Array(4);

function transposeRows(): void {
  for (let a = 0; a < 4; a += 2) {
    const swap = (((rows[a] as number) >>> 1) ^ (rows[a + 1] as number)) & 0x55555555;
    rows[a + 1] = (rows[a + 1] as number) ^ swap;
    rows[a] = (rows[a] as number) ^ (swap << 1);
  }
  for (let a = 0; a < 2; a++) {
    const swap = (((rows[a] as number) >>> 2) ^ (rows[a + 2] as number)) & 0x33333333;
    rows[a + 2] = (rows[a + 2] as number) ^ swap;
    rows[a] = (rows[a] as number) ^ (swap << 2);
  }
}

function packHighBits(from: DataView, at: number, to: DataView, toAt: number): void {
  for (let half = 0; half < 2; half++) {
    for (let i = 0; i < 4; i++) {
      const first = from.getInt32(at + 4 * i, true) >>> (4 * half);
      const second = from.getInt32(at + 4 * i + 16, true) >>> (4 * half);
      rows[i] = gatherNibbles(first & 0x0f0f0f0f, second & 0x0f0f0f0f);
    }
    transposeRows();
    for (let i = 0; i < 4; i++) to.setInt32(toAt + 16 * half + 4 * i, rows[i] as number, true);
  }
}

function restoreHighBits(from: DataView, fromAt: number, to: DataView, at: number): void {
  for (let i = 0; i < 32; i += 4) to.setInt32(at + i, 0, true);
  const add = (place: number, bits: number) => to.setInt32(place, to.getInt32(place, true) | bits, true);
  for (let half = 0; half < 2; half++) {
    for (let i = 0; i < 4; i++) rows[i] = from.getInt32(fromAt + 16 * half + 4 * i, true);
    transposeRows();
    for (let i = 0; i < 4; i++) {
      const row = rows[i] as number;
      add(at + 4 * i, scatterNibbles(row & 0xffff) << (4 * half));
      add(at + 4 * i + 16, scatterNibbles(row >>> 16) << (4 * half));
    }
  }
}

const q5_k = groupFormat(
  'q5_k',
  (group, at, quants, quantAt, scales, scaleAt) => {
    packHead(group, at, scales, scaleAt);
    packHighBits(group, at + 16, scales, scaleAt + 16);
    splitBlockPairs(group, at + 48, quants, quantAt);
  },
  (group, at, quants, quantAt, scales, scaleAt) => {
    restoreHead(scales, scaleAt, group, at);
    restoreHighBits(scales, scaleAt + 16, group, at + 16);
    joinBlockPairs(quants, quantAt, group, at + 48);
  },
);

/**
 * Q6_K: for each half of the group, 64 bytes hold the nibbles of its four blocks (bytes 0 to 31: blocks 0 and 2, the
 * others: 1 and 3), and the pair of bits number j of byte c is that of column c of block j. Packed: after the nibbles
 * of all blocks come two words a block, columns 16w .. 16w+15 in word w, of which column 4i + k has the pair of bits
 * 16 * ((i >> 1) & 1) + 4k + 2 * (i & 1). The sub-scales and d stay as they are, with two bytes of padding.
 */
function packPairs(from: DataView, at: number, to: DataView, toAt: number): void {
  for (let word = 0; word < 2; word++) {
    const a = from.getInt32(at + 16 * word, true);
    const b = from.getInt32(at + 16 * word + 4, true);
    const c = from.getInt32(at + 16 * word + 8, true);
    const d = from.getInt32(at + 16 * word + 12, true);
    for (let two = 0; two < 2; two++) {
      const shift = 4 * two;
      const even = gatherNibbles((a >>> shift) & 0x0f0f0f0f, (c >>> shift) & 0x0f0f0f0f);
      const odd = gatherNibbles((b >>> shift) & 0x0f0f0f0f, (d >>> shift) & 0x0f0f0f0f);
      const first = toAt + 16 * two + 4 * word;
      to.setInt32(first, (even & 0x33333333) | ((odd & 0x33333333) << 2), true);
      to.setInt32(first + 8, ((even >>> 2) & 0x33333333) | (odd & 0xcccccccc), true);
    }
  }
}

function restorePairs(from: DataView, fromAt: number, to: DataView, at: number): void {
  for (let word = 0; word < 2; word++) {
    const columns = at + 16 * word;
    for (let i = 0; i < 16; i += 4) to.setInt32(columns + i, 0, true);
    for (let two = 0; two < 2; two++) {
      const first = from.getInt32(fromAt + 16 * two + 4 * word, true);
      const second = from.getInt32(fromAt + 16 * two + 4 * word + 8, true);
      const even = (first & 0x33333333) | ((second & 0x33333333) << 2);
      const odd = ((first >>> 2) & 0x33333333) | (second & 0xcccccccc);
      const parts = [even & 0xffff, odd & 0xffff, even >>> 16, odd >>> 16];
      for (const [i, bits] of parts.entries()) {
        const place = columns + 4 * i;
        to.setInt32(place, to.getInt32(place, true) | (scatterNibbles(bits) << (4 * two)), true);
      }
    }
  }
}

const q6_k = groupFormat(
  'q6_k',
  (group, at, quants, quantAt, scales, scaleAt) => {
    for (let half = 0; half < 2; half++) {
      const from = at + 64 * half;
      const to = quantAt + 64 * half;
      splitNibbles(group, from, 32, quants, to, to + 32);
      splitNibbles(group, from + 32, 32, quants, to + 16, to + 48);
      packPairs(group, at + 128 + 32 * half, quants, quantAt + NIBBLES + 32 * half);
    }
    copyWords(group, at + 192, scales, scaleAt, 16);
    scales.setInt32(scaleAt + 16, group.getUint16(at + 208, true), true);
  },
  (group, at, quants, quantAt, scales, scaleAt) => {
    for (let half = 0; half < 2; half++) {
      const from = quantAt + 64 * half;
      const to = at + 64 * half;
      joinNibbles(quants, from, from + 32, 32, group, to);
      joinNibbles(quants, from + 16, from + 48, 32, group, to + 32);
      restorePairs(quants, quantAt + NIBBLES + 32 * half, group, at + 128 + 32 * half);
    }
    copyWords(scales, scaleAt, group, at + 192, 16);
    group.setUint16(at + 208, scales.getUint16(scaleAt + 16, true), true);
  },
);

const iq4_xs = groupFormat(
  'iq4_xs',
  (group, at, quants, quantAt, scales, scaleAt) => {
    copyWords(group, at, scales, scaleAt, 8);
    for (let block = 0; block < NIBBLES; block += 16) {
      splitNibbles(group, at + 8 + block, 16, quants, quantAt + block, quantAt + block + 8);
    }
  },
  (group, at, quants, quantAt, scales, scaleAt) => {
    copyWords(scales, scaleAt, group, at, 8);
    for (let block = 0; block < NIBBLES; block += 16) {
      joinNibbles(quants, quantAt + block, quantAt + block + 8, 16, group, at + 8 + block);
    }
  },
);

export const kQuants: readonly BlockFormat[] = [q4_k, q5_k, q6_k, iq4_xs];
