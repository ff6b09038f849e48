/** Checksums as lists of shards have them. */
import { TramontaneError } from '../../base/errors.ts';
import { Md5, md5Hex } from '../../base/md5.ts';
import { Sha256, sha256Hex } from '../../base/sha256.ts';

/** Of the bytes of one file, in hex; null where none is listed. */
export interface Checksums {
  sha256: string | null;
  /** Compared where there is no SHA-256. */
  md5: string | null;
}

export const SHA256_PATTERN = /^[0-9a-f]{64}$/;
export const MD5_PATTERN = /^[0-9a-f]{32}$/;

export function hasChecksum({ sha256, md5 }: Checksums): boolean {
  return sha256 !== null || md5 !== null;
}

/** @returns false where a checksum is listed and the bytes have another one */
export async function matchChecksum(
  bytes: Uint8Array<ArrayBuffer>,
  { sha256, md5 }: Checksums,
): Promise<boolean> {
  if (sha256 !== null) return (await sha256Hex(bytes)) === sha256;
  return md5 === null || md5Hex(bytes) === md5;
}

/** As {@link matchChecksum}, of bytes that come in pieces. */
export class ChecksumMatch {
  readonly #hash: Md5 | Sha256;
  readonly #listed: string | null;

  constructor({ sha256, md5 }: Checksums) {
    this.#hash = sha256 === null ? new Md5() : new Sha256();
    this.#listed = sha256 ?? md5;
  }

  add(bytes: Uint8Array): void {
    this.#hash.add(bytes);
  }

  /** Nothing can be added any more. */
  end(): boolean {
    return this.#listed === null || this.#hash.hex() === this.#listed;
  }
}

/** For a file whose bytes are not those that were listed. @param nextStep what its reader should do */
export function checksumError(name: string, { sha256 }: Checksums, nextStep: string): TramontaneError {
  const kind = sha256 === null ? 'MD5' : 'SHA-256';
  return new TramontaneError('shard-altered', `${name} does not have the ${kind} that the model lists.`, {
    nextStep,
    data: { file: name },
  });
}
