/** Names of the splits of a GGUF, as llama.cpp's gguf-split gives them: `NAME-00001-of-00003.gguf`, counted from 1. */

export interface SplitName {
  /** What comes before the numbers; the same for all splits of a model. */
  prefix: string;
  /** From 0, as in `split.no`. */
  number: number;
  count: number;
}

const SPLIT_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i;

/** @returns null for a name that is not of a split. */
export function parseSplitName(name: string): SplitName | null {
  const match = SPLIT_NAME.exec(name);
  if (match === null) return null;
  const [number, count] = [Number(match[2]), Number(match[3])];
  return number < 1 || number > count ? null : { prefix: match[1]!, number: number - 1, count };
}

export function formatSplitName({ prefix, number, count }: SplitName): string {
  return `${prefix}-${pad(number + 1)}-of-${pad(count)}.gguf`;
}

function pad(value: number): string {
  return String(value).padStart(5, '0');
}

/** Addresses of all splits of the model that `url` has one split of; of a file that is no split, its own. */
export function splitUrls(url: string): string[] {
  const parsed = new URL(url);
  const slash = parsed.pathname.lastIndexOf('/') + 1;
  const name = parseSplitName(parsed.pathname.slice(slash));
  if (name === null) return [url];
  return Array.from({ length: name.count }, (_, number) => {
    const sibling = new URL(url);
    sibling.pathname = parsed.pathname.slice(0, slash) + formatSplitName({ ...name, number });
    return sibling.href;
  });
}
