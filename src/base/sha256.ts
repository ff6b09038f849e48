/** SHA-256 (FIPS 180-4): of bytes in memory by WebCrypto, of more than memory should hold by ourselves. */
import { BlockHash, hexOf } from './block-hash.ts';

/** WebCrypto makes a copy of the bytes, at once, while it works. @returns 64 hex digits */
export async function sha256Hex(bytes: BufferSource): Promise<string> {
  return hexOf(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}

const STEPS = 64;
const PRIMES = firstPrimes(STEPS);
/** The first 32 bits of the fractions of the roots of the first primes: cube roots a step, square roots at the start. */
const CUBE_ROOTS = Int32Array.from(PRIMES, (prime) => fractionBits(BigInt(prime), 3n));
const SQUARE_ROOTS = Int32Array.from(PRIMES.slice(0, 8), (prime) => fractionBits(BigInt(prime), 2n));

/** SHA-256 of bytes that come in pieces. WebCrypto has none. */
export class Sha256 extends BlockHash {
  readonly #schedule = new Int32Array(STEPS);

  constructor() {
    super(Int32Array.from(SQUARE_ROOTS), false);
  }

  protected addBlock(state: Int32Array, words: Int32Array): void {
    const schedule = this.#schedule;
    schedule.set(words);
    for (let step = words.length; step < STEPS; step++) {
      const near = schedule[step - 2]!;
      const far = schedule[step - 15]!;
      const mixedNear = rotate(near, 17) ^ rotate(near, 19) ^ (near >>> 10);
      const mixedFar = rotate(far, 7) ^ rotate(far, 18) ^ (far >>> 3);
      schedule[step] =
        (((mixedNear + schedule[step - 7]!) | 0) + ((mixedFar + schedule[step - 16]!) | 0)) | 0;
    }
    let a = state[0]!;
    let b = state[1]!;
    let c = state[2]!;
    let d = state[3]!;
    let e = state[4]!;
    let f = state[5]!;
    let g = state[6]!;
    let h = state[7]!;
    for (let step = 0; step < STEPS; step++) {
      const choice = (e & f) ^ (~e & g);
      const majority = (a & b) ^ (a & c) ^ (b & c);
      const mixedE = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const mixedA = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const first = (((((h + mixedE) | 0) + choice) | 0) + ((CUBE_ROOTS[step]! + schedule[step]!) | 0)) | 0;
      h = g;
      g = f;
      f = e;
      e = (d + first) | 0;
      d = c;
      c = b;
      b = a;
      a = (first + ((mixedA + majority) | 0)) | 0;
    }
    state[0] = state[0]! + a;
    state[1] = state[1]! + b;
    state[2] = state[2]! + c;
    state[3] = state[3]! + d;
    state[4] = state[4]! + e;
    state[5] = state[5]! + f;
    state[6] = state[6]! + g;
    state[7] = state[7]! + h;
  }
}

function rotate(word: number, count: number): number {
  return (word >>> count) | (word << (32 - count));
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let number = 2; primes.length < count; number++) {
    if (primes.every((prime) => number % prime !== 0)) primes.push(number);
  }
  return primes;
}

/** The first 32 bits after the point of a root, to the bit: floats have too few for products of three. */
function fractionBits(number: bigint, degree: bigint): number {
  const scaled = number << (32n * degree);
  let low = 0n;
  let high = 1n << 40n;
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** degree <= scaled) low = middle;
    else high = middle;
  }
  return Number(BigInt.asIntN(32, low));
}
