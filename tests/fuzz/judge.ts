/**
 * What must hold of any input whatever: it is read as what it is, or refused with a typed error that says where; work
 * and memory stay in proportion to its size; and what the importer accepts by its header it imports whole.
 */
import { FormatError, isTramontaneError, type TramontaneError } from '../../src/base/errors.ts';
import { type ModelSink, writeModel } from '../../src/engine/import/import-model.ts';
import { openLocalGguf } from '../../src/engine/import/open-source.ts';
import { planSource } from '../../src/engine/import/plan-source.ts';
import { checkTokenizer } from '../../src/engine/tokenizer-check.ts';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import type { Gguf } from '../../src/formats/gguf/gguf.ts';
import { parseGguf } from '../../src/formats/gguf/parse-gguf.ts';
import {
  CONFIG_FILE,
  parseModelFiles,
  TENSOR_CACHE_FILE,
  TOKENIZER_FILE,
} from '../../src/models/model-files.ts';
import { writeGguf } from '../tools/gguf-writer.ts';

/** What became of an input, for counting: `imported`, or code and kind of the refusal. */
export type Outcome = string;

/** An input that was not treated as it must be. */
export class Fault extends Error {
  override name = 'Fault';
}

function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Fault(message);
}

/** A source that lets nobody read outside it, and counts. */
export function countingSource(bytes: Uint8Array): ByteSource & { reads: number; bytesRead: number } {
  return {
    byteLength: bytes.byteLength,
    reads: 0,
    bytesRead: 0,
    async read(offset, length) {
      demand(
        Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length > 0,
        `a read of ${length} bytes at ${offset}`,
      );
      demand(offset + length <= bytes.byteLength, `a read to byte ${offset + length} of ${bytes.byteLength}`);
      this.reads++;
      this.bytesRead += length;
      return bytes.slice(offset, offset + length) as Uint8Array<ArrayBuffer>;
    },
  };
}

/** Small, so that matrices are cut into parts. */
const LIMITS = { maxRecordBytes: 3000, maxShardBytes: 8000 };

const CODES: ReadonlySet<string> = new Set([
  'format-invalid',
  'format-unsupported',
  'architecture-unsupported',
  'tokenizer-invalid',
  'tokenizer-unsupported',
  'template-unsupported',
]);

/** A message without what differs from input to input. */
function kindOf(error: TramontaneError): Outcome {
  const message = error.message.replace(/"(?:[^"\\]|\\.)*("|…)/g, '""').replace(/\d+/g, '0');
  return `${error.code}: ${message.slice(0, 60)}`;
}

function checkError(error: unknown, byteLength: number): asserts error is TramontaneError {
  if (error instanceof Fault) throw error;
  if (!isTramontaneError(error)) {
    throw new Fault(`an error that is not ours: ${error instanceof Error ? error.stack : error}`);
  }
  demand(CODES.has(error.code), `an error with code ${error.code}: ${error.message}`);
  const { field, offset } = error.data;
  demand(typeof field === 'string' && field !== '', `an error without a field: ${error.message}`);
  demand(
    offset === null ||
      offset === undefined ||
      (Number.isInteger(offset) && Number(offset) >= 0 && Number(offset) <= byteLength),
    `an error at offset ${offset}: ${error.message}`,
  );
  demand(error.message.length < 1000, `a message of ${error.message.length} characters`);
}

/** Parses a file, and imports it. @throws Fault */
export async function judge(bytes: Uint8Array): Promise<Outcome> {
  const source = countingSource(bytes);
  let gguf: Gguf;
  try {
    gguf = await parseGguf(source);
  } catch (error) {
    checkError(error, bytes.byteLength);
    demand(error instanceof FormatError, `the parser threw a ${error.name}`);
    demand(typeof error.data.offset === 'number', `no offset: ${error.message}`);
    checkWork(source);
    return kindOf(error);
  }
  checkWork(source);
  checkParsed(gguf, bytes);
  return judgeImport([{ name: 'model.gguf', bytes }], (field, offset) => {
    const place = gguf.offsets.get(field);
    demand(place === undefined || offset === place, `${field} lies at ${place}, not at ${offset}`);
  });
}

/** Imports files that may be the splits of one model. @throws Fault */
export async function judgeSplits(files: readonly { name: string; bytes: Uint8Array }[]): Promise<Outcome> {
  return `splits: ${await judgeImport(files)}`;
}

/** A header is read in windows of a MiB, each byte about once. */
function checkWork({ reads, bytesRead, byteLength }: ReturnType<typeof countingSource>): void {
  const windows = Math.floor(byteLength / (1 << 20));
  demand(reads <= 1 + 2 * windows, `${reads} reads`);
  demand(bytesRead <= byteLength * (windows === 0 ? 1 : 2), `${bytesRead} bytes read of ${byteLength}`);
}

/** What was parsed is what the bytes say. */
function checkParsed(
  { metadata, tensors, version, alignmentBytes, dataOffsetBytes, offsets }: Gguf,
  bytes: Uint8Array,
): void {
  const holdsNaN = [...metadata.values()].some(({ value }) =>
    Array.isArray(value) ? value.some(Number.isNaN) : Number.isNaN(value),
  );
  const again = writeGguf({
    metadata: [...metadata],
    tensors: tensors.map(({ name, type, dimensions }) => ({
      name,
      type,
      dimensions,
      bytes: new Uint8Array(0),
    })),
    version,
    alignmentBytes,
  });
  // Offsets of tensors are not in their order, and the bits of a NaN need not survive.
  const compared =
    tensors.length > 0
      ? (offsets.get(tensors[0]?.name ?? '') ?? 24)
      : Math.min(again.byteLength, bytes.byteLength);
  demand(
    holdsNaN || Buffer.compare(again.subarray(0, compared), bytes.subarray(0, compared)) === 0,
    'written again, the metadata differ',
  );
  demand(dataOffsetBytes % alignmentBytes === 0, 'data out of line');
  let end = dataOffsetBytes;
  for (const tensor of [...tensors].sort((a, b) => a.offsetBytes - b.offsetBytes)) {
    demand(tensor.offsetBytes >= end && tensor.byteLength > 0, `tensor ${tensor.name} overlaps`);
    end = tensor.offsetBytes + tensor.byteLength;
    demand(end <= bytes.byteLength, `tensor ${tensor.name} leaves the file`);
  }
}

async function judgeImport(
  files: readonly { name: string; bytes: Uint8Array }[],
  checkPlace: (field: string, offset: unknown) => void = () => undefined,
): Promise<Outcome> {
  const sources = files.map(({ name, bytes }) => ({ name, source: countingSource(bytes) }));
  const byteLength = files.reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  let shards = 0;
  let written: ReadonlyMap<string, string> = new Map();
  const sink: ModelSink = {
    async writeShard(shard, sha256, contents) {
      shards++;
      demand(contents.byteLength === shard.byteLength && sha256.length === 64, `${shard.name} is not whole`);
    },
    async complete(texts) {
      written = texts;
    },
  };
  try {
    const { id, opened, plan } = await planSource(await openLocalGguf(sources, null, {}), LIMITS);
    demand(/^[a-z0-9._-]{1,200}$/.test(id), `a model is called ${id}`);
    await writeModel(opened.prepared, plan, await opened.openWeights(), sink);
  } catch (error) {
    checkError(error, byteLength);
    demand(shards === 0, `refused after ${shards} shards were written: ${error.message}`);
    checkPlace(String(error.data.field), error.data.offset);
    return kindOf(error);
  }
  const json = (name: string) => JSON.parse(written.get(name) ?? '');
  parseModelFiles(json(CONFIG_FILE), json(TENSOR_CACHE_FILE));
  checkTokenizer(written.get(TOKENIZER_FILE) ?? '');
  const bytesRead = sources.reduce((sum, { source }) => sum + source.bytesRead, 0);
  demand(bytesRead <= 2 * byteLength, `${bytesRead} bytes read of ${byteLength}`);
  return 'imported';
}
