/** The vocabulary of tiny-mistral: Mistral's control tokens, the 256 bytes, and a small BPE over common words. */

/** Surfaces of control tokens by id; ids without a name here are `<SPECIAL_id>`. Ids as in Mistral Small 3.x. */
const CONTROL_NAMES: Readonly<Record<number, string>> = {
  0: '<unk>',
  1: '<s>',
  2: '</s>',
  3: '[INST]',
  4: '[/INST]',
  5: '[AVAILABLE_TOOLS]',
  6: '[/AVAILABLE_TOOLS]',
  7: '[TOOL_RESULTS]',
  8: '[/TOOL_RESULTS]',
  9: '[TOOL_CALLS]',
  10: '[IMG]',
  11: '<pad>',
  12: '[IMG_BREAK]',
  13: '[IMG_END]',
  14: '[PREFIX]',
  15: '[MIDDLE]',
  16: '[SUFFIX]',
  17: '[SYSTEM_PROMPT]',
  18: '[/SYSTEM_PROMPT]',
  19: '[TOOL_CONTENT]',
  32: '[ARGS]',
  33: '[CALL_ID]',
};
const CONTROL_COUNT = 40;

/** Surfaces of the first `count` ids. */
export function controlSurfaces(count: number): string[] {
  return Array.from({ length: count }, (_, id) => CONTROL_NAMES[id] ?? `<SPECIAL_${id}>`);
}

const WORDS =
  `the of and to in is you that it he was for on are as with his they at be this have from or one had by
word but not what all were we when your can said there use an each which she do how their if will up other about out
many then them these so some her would make like him into time has look two more write go see number no way could
people my than first water been call who oil its now find long down day did get come made may part over new sound
take only little work know place year live me back give most very after thing our just name good man think say great
where help through much before line right too mean old any same tell boy follow came want show also around form three
small set put end does another well large must big even such because turn here why ask went men read need land home us
move try kind hand picture again change off play spell air away animal house point page letter mother answer found
study still learn should world high every near add food between own below country plant last school father keep tree
never start city earth eye light thought head under story saw left few while along might close something seem next
hard open example begin life always those both paper together got group often run`
    .split(/\s+/)
    .filter((word) => word !== '');

export interface TinyVocabulary {
  tokens: string[];
  /** As in `tokenizer.ggml.token_type`: 3 control, 1 normal. */
  types: number[];
  /** Pairs with a space between, by rank. */
  merges: string[];
  controlCount: number;
  /** Ids of whole words, with their leading space. */
  wordIds: number[];
}

/** GPT-2's printable stand-ins for bytes: printable Latin-1 as it is, the rest from U+0100 on. */
export function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable =
      (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    return String.fromCodePoint(printable ? byte : next++);
  });
}

/** Trains BPE on the word list until every word is one token. Ties go to the pair that sorts first. */
function trainMerges(words: readonly string[]): [left: string, right: string][] {
  const space = byteCharacters()[0x20] as string;
  let split = words.map((word) => [...`${space}${word}`]);
  const merges: [string, string][] = [];
  while (split.some((pieces) => pieces.length > 1)) {
    const counts = new Map<string, number>();
    for (const pieces of split) {
      for (let index = 0; index + 1 < pieces.length; index++) {
        const pair = `${pieces[index]} ${pieces[index + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    }
    const best = [...counts].reduce((a, b) => (b[1] > a[1] || (b[1] === a[1] && b[0] < a[0]) ? b : a))[0];
    const [left, right] = best.split(' ') as [string, string];
    merges.push([left, right]);
    split = split.map((pieces) => mergePair(pieces, left, right));
  }
  return merges;
}

function mergePair(pieces: readonly string[], left: string, right: string): string[] {
  const merged: string[] = [];
  for (let index = 0; index < pieces.length; index++) {
    if (pieces[index] === left && pieces[index + 1] === right) {
      merged.push(left + right);
      index++;
    } else {
      merged.push(pieces[index] as string);
    }
  }
  return merged;
}

export function createTinyVocabulary(): TinyVocabulary {
  const control = controlSurfaces(CONTROL_COUNT);
  const merges = trainMerges(WORDS);
  const tokens = [...new Set([...control, ...byteCharacters(), ...merges.map((pair) => pair.join(''))])];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const space = byteCharacters()[0x20] as string;
  return {
    tokens,
    types: tokens.map((_, id) => (id < CONTROL_COUNT ? 3 : 1)),
    merges: merges.map((pair) => pair.join(' ')),
    controlCount: CONTROL_COUNT,
    wordIds: WORDS.map((word) => ids.get(`${space}${word}`) as number),
  };
}
