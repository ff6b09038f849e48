/**
 * What the names of GGUF files tell: which belong together, how their weights are stored, and which of them a tag means.
 * There is no standard, only custom: `Model-Q4_K_M.gguf`, `model.i1-IQ4_XS.gguf`, `UD-Q4_K_XL/Model-00001-of-00002.gguf`.
 * What counts in the end is the header.
 */
import { isGgufName } from './address.ts';
import { parseSplitName } from './split-names.ts';

/** A file of a repository. */
export interface ListedFile {
  /** From the repository down. */
  path: string;
  byteLength: number;
  /** In hex; null for files that are in git itself. */
  sha256: string | null;
}

/** A model as a GGUF, in one file or in splits. */
export interface ListedBuild {
  /** Of its first file. */
  path: string;
  /** Of all its files. */
  byteLength: number;
  fileCount: number;
  /** As {@link quantizationOf}. */
  quantization: string | null;
}

/** Vision towers and importance matrices are GGUFs too, and lie beside the models that they are for. */
const NO_MODEL = /mmproj|imatrix/i;

/** The models among some files, as they are listed. */
export function listGgufBuilds(files: readonly ListedFile[]): ListedBuild[] {
  const builds = new Map<string, ListedBuild>();
  for (const { path, byteLength } of files) {
    if (!isGgufName(path) || NO_MODEL.test(nameOf(path))) continue;
    const split = parseSplitName(path);
    const key = split === null ? path : `${split.prefix}/${split.count}`;
    const known = builds.get(key);
    const first = known === undefined || path < known.path ? path : known.path;
    builds.set(key, {
      path: first,
      byteLength: byteLength + (known?.byteLength ?? 0),
      fileCount: 1 + (known?.fileCount ?? 0),
      quantization: quantizationOf(path),
    });
  }
  return [...builds.values()];
}

const QUANTIZATION =
  /(?:^|[-._ ])((?:UD-)?(?:I?Q\d(?:_(?:\d|K|NL|XXS|XS|S|M|L|XL))*|TQ\d_\d|BF16|FP?16|FP?32|MXFP4(?:_MOE)?|NVFP4))(?=$|[-._ ])/gi;

/**
 * The quantization that a file is named for, in capitals: `Q4_K_M`, `IQ4_XS`, `UD-Q4_K_XL`, `BF16`. The last one in its
 * name, or else of the folder it lies in.
 * @returns null where neither tells
 */
export function quantizationOf(path: string): string | null {
  for (const name of stemOf(path).split('/').reverse()) {
    const found = [...name.matchAll(QUANTIZATION)].at(-1)?.[1];
    if (found !== undefined) return found.toUpperCase().replace(/^FP/, 'F');
  }
  return null;
}

/** Types that have a kernel, docs/formats.md; `_S`, `_M` and `_L` are mixes of K types with each other. */
const RUNS = /^(?:F32|F16|BF16|Q4_0|Q4_1|Q5_0|Q5_1|Q8_0|Q[45]_K(?:_[SML])?|Q6_K(?:_L)?|IQ4_NL|IQ4_XS)$/;
/** Builds that have tensors of a type without one, whatever else is in them. */
const DOES_NOT_RUN = /^(?:UD-)?(?:I?Q[123]_|TQ|MXFP4|NVFP4|Q4_0_|IQ4_NL_\d)/;

/** Whether weights of such a quantization can be run; null where only the header tells. */
export function runsQuantization(quantization: string | null): boolean | null {
  if (quantization === null) return null;
  return RUNS.test(quantization) ? true : DOES_NOT_RUN.test(quantization) ? false : null;
}

/**
 * The builds that a tag means: those of just that quantization, else those whose names have it as a word.
 * @param tag `q4_k_m`, `UD-Q4_K_XL`, or a file's name; capitals do not matter
 */
export function findBuilds(builds: readonly ListedBuild[], tag: string): ListedBuild[] {
  const wanted = tag.toUpperCase();
  const exact = builds.filter(
    ({ quantization, path }) =>
      quantization === wanted || [path, nameOf(path), stemOf(nameOf(path))].some((name) => isSame(name, tag)),
  );
  if (exact.length > 0) return exact;
  // `Q4` leaves the choice between all that begin so.
  const word = new RegExp(`(?:^|[-._/ ])${escapeRegExp(tag)}(?:$|[-._/ ])`, 'i');
  return builds.filter(({ path }) => word.test(stemOf(path)));
}

function isSame(a: string, b: string): boolean {
  return a.toUpperCase() === b.toUpperCase();
}

function escapeRegExp(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Without what a split adds to it, and without `.gguf`. */
export function stemOf(path: string): string {
  return parseSplitName(path)?.prefix ?? path.replace(/\.gguf$/i, '');
}
