/**
 * Opens a GGUF that may come in splits, as llama.cpp's gguf-split makes them: each split is a GGUF of its own with
 * `split.no` (from 0), `split.count` and `split.tensors.count`; the first has the metadata, each the table and data of
 * its own tensors. Joined, they read as one file: tensor offsets count from the start of the first split.
 * Source: https://github.com/ggml-org/llama.cpp/tree/master/tools/gguf-split
 */
import { FormatError } from '../../base/errors.ts';
import type { ByteSource } from '../../formats/byte-source.ts';
import {
  type Gguf,
  type GgufTensor,
  locateErrors,
  metadataInteger,
  metadataString,
} from '../../formats/gguf/gguf.ts';
import { MAX_TENSORS, parseGguf } from '../../formats/gguf/parse-gguf.ts';
import { startsOf } from '../../formats/joined-source.ts';
import { formatSplitName, parseSplitName } from './split-names.ts';

export interface NamedSource<Source extends ByteSource = ByteSource> {
  name: string;
  source: Source;
}

export interface OpenedGguf<Source extends ByteSource = ByteSource> {
  /** Tensor offsets are in the joined files. */
  gguf: Gguf;
  /** In the order in which they are joined. */
  files: readonly NamedSource<Source>[];
}

interface Split<Source extends ByteSource> extends NamedSource<Source> {
  gguf: Gguf;
  number: number;
  count: number;
  tensorCount: number | null;
}

/** Real models have a few tens. */
export const MAX_SPLITS = 1024;

/**
 * Reads the headers of one GGUF: a single file, or all splits of one in any order.
 * @throws FormatError naming the file at fault: `format-invalid` for a broken header, missing, doubled or foreign
 *   splits; `format-unsupported` for a vision tower (mmproj); `signal.reason` when aborted
 */
export async function openGguf<Source extends ByteSource>(
  files: readonly NamedSource<Source>[],
  signal?: AbortSignal,
): Promise<OpenedGguf<Source>> {
  const splits: Split<Source>[] = [];
  let tensorCount = 0;
  for (const { name, source } of files) {
    const gguf = await parseGguf(source, signal).catch((error: unknown) => {
      throw files.length > 1 && error instanceof FormatError ? withFile(error, name) : error;
    });
    const split = locateErrors(gguf, () => {
      refuseVisionTower(gguf, name);
      return readSplit(gguf);
    });
    tensorCount += gguf.tensors.length;
    if (tensorCount > MAX_TENSORS) {
      throw splitError(
        `The files have ${tensorCount} tensors and more, at most ${MAX_TENSORS} are supported`,
        'tensor count',
        [name],
      );
    }
    // Only the first one's metadata count; a thousand headers could fill the memory.
    const kept = split.number > 0 ? { ...gguf, metadata: new Map() } : gguf;
    splits.push({ name, source, gguf: kept, ...split });
  }
  const [first] = splits;
  if (first === undefined) {
    throw new FormatError('No file was given', { field: 'files' }, { nextStep: 'Choose a GGUF file.' });
  }
  if (splits.length === 1 && first.count === 1) return { gguf: first.gguf, files: [first] };
  const ordered =
    splits.length === 1 ? locateErrors(first.gguf, () => orderSplits(splits)) : orderSplits(splits);
  return { gguf: joinHeaders(ordered), files: ordered.map(({ name, source }) => ({ name, source })) };
}

function readSplit({ metadata }: Gguf): Pick<Split<ByteSource>, 'number' | 'count' | 'tensorCount'> {
  return {
    number: metadataInteger(metadata, 'split.no') ?? 0,
    // gguf-split counts from 1; a file that was never split has no count, or 0.
    count: Math.max(1, metadataInteger(metadata, 'split.count') ?? 1),
    tensorCount: metadataInteger(metadata, 'split.tensors.count'),
  };
}

function withFile(error: FormatError, name: string): FormatError {
  const { field, offset } = error.data as { field: string; offset: number | null };
  return new FormatError(
    `${name}: ${error.message}`,
    { field, ...(offset === null ? {} : { offset }) },
    {
      code: error.code,
      ...(error.nextStep === null ? {} : { nextStep: error.nextStep }),
      data: { ...error.data, file: name },
      cause: error,
    },
  );
}

function refuseVisionTower({ metadata }: Gguf, name: string): void {
  const isTower =
    metadataString(metadata, 'general.type') === 'mmproj' ||
    metadataString(metadata, 'general.architecture') === 'clip';
  if (!isTower) return;
  throw new FormatError(
    `${name} is the vision part of a model (mmproj), which is not supported`,
    { field: 'general.architecture' },
    {
      code: 'format-unsupported',
      nextStep: "Choose the model's own GGUF file, without this one.",
      data: { file: name },
    },
  );
}

/** @throws FormatError unless the files are all splits of one model */
function orderSplits<Source extends ByteSource>(splits: readonly Split<Source>[]): Split<Source>[] {
  const whole = splits.find(({ count }) => count === 1);
  if (whole !== undefined) {
    const other = splits.find((split) => split !== whole)!;
    throw splitError(
      `${whole.name} is a model of its own, and ${other.name} was given with it`,
      'split.count',
      [whole.name, other.name],
      'Choose the files of one model.',
    );
  }
  const { count, tensorCount, name } = splits[0]!;
  if (count > MAX_SPLITS) {
    throw splitError(
      `${name} says it is one of ${count} files, at most ${MAX_SPLITS} are supported`,
      'split.count',
      [name],
    );
  }
  const prefix = parseSplitName(name)?.prefix;
  const foreign = splits.find(
    (split) =>
      split.count !== count ||
      split.tensorCount !== tensorCount ||
      (prefix !== undefined && (parseSplitName(split.name)?.prefix ?? prefix) !== prefix),
  );
  if (foreign !== undefined) {
    throw splitError(
      `${foreign.name} is not of the same model as ${name}`,
      'split.count',
      [foreign.name],
      'Choose the files of one model.',
    );
  }
  const ordered: Split<Source>[] = [];
  for (const split of splits) {
    const twin = ordered[split.number];
    if (split.number < 0 || split.number >= count) {
      throw splitError(`${split.name} is file ${split.number + 1} of ${count}`, 'split.no', [split.name]);
    }
    if (twin !== undefined) {
      throw splitError(
        `${twin.name} and ${split.name} are both file ${split.number + 1} of ${count}`,
        'split.no',
        [twin.name, split.name],
        'Choose each file once.',
      );
    }
    ordered[split.number] = split;
  }
  const missing = Array.from({ length: count }, (_, number) => number)
    .filter((number) => ordered[number] === undefined)
    .map((number) => formatSplitName({ prefix: prefix ?? 'model', number, count }));
  if (missing.length > 0) {
    throw splitError(
      `${missing.length} of the model's ${count} files are missing: ${missing.slice(0, 8).join(', ')}`,
      'split.count',
      missing,
      'Choose all files of the model together.',
    );
  }
  return ordered;
}

function joinHeaders(splits: readonly Split<ByteSource>[]): Gguf {
  const first = splits[0]!;
  const starts = startsOf(splits.map(({ source }) => source));
  const tensors: GgufTensor[] = [];
  const offsets = new Map(first.gguf.offsets);
  const owners = new Map<string, string>();
  for (const [index, { gguf, name }] of splits.entries()) {
    for (const tensor of gguf.tensors) {
      const owner = owners.get(tensor.name);
      if (owner !== undefined) {
        throw splitError(`Tensor "${tensor.name}" is in ${owner} and in ${name}`, tensor.name, [owner, name]);
      }
      owners.set(tensor.name, name);
      offsets.set(tensor.name, starts[index]! + gguf.offsets.get(tensor.name)!);
      tensors.push({ ...tensor, offsetBytes: starts[index]! + tensor.offsetBytes });
    }
  }
  if (first.tensorCount !== null && tensors.length !== first.tensorCount) {
    throw splitError(
      `The files have ${tensors.length} tensors, ${first.tensorCount} are announced`,
      'split.tensors.count',
      [first.name],
    );
  }
  return { ...first.gguf, tensors, offsets };
}

function splitError(
  message: string,
  field: string,
  files: readonly string[],
  nextStep = 'Download the files again.',
): FormatError {
  return new FormatError(message, { field }, { nextStep, data: { files } });
}
