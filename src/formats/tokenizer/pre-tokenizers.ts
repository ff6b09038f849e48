/**
 * How text is cut into words before BPE, per value of `tokenizer.ggml.pre`, in the terms of tokenizer.json. The
 * patterns are part of each tokenizer's definition: one character more or less gives other token ids.
 */

export interface PreTokenizer {
  /** The `pre_tokenizer` object of tokenizer.json. */
  json: object;
  /** A word that is itself in the vocabulary becomes that token, even where the merges would not get there. */
  ignoreMerges: boolean;
}

const byteLevel = (useRegex: boolean) => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
});

const splitBy = (pattern: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    byteLevel(false),
  ],
});

/** `config.pattern` of tekken.json: words end where lower case turns into upper case. */
export const TEKKEN_PATTERN = [
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+',
  '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*',
  '\\p{N}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|');

export const PRE_TOKENIZERS = {
  /** SmolLM and SmolLM2: every digit by itself, then GPT-2's words. */
  smollm: {
    json: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Digits', individual_digits: true }, byteLevel(true)],
    },
    ignoreMerges: false,
  },
  /** Mistral's Tekken. */
  tekken: { json: splitBy(TEKKEN_PATTERN), ignoreMerges: true },
  /** Llama 3: digits in groups of at most three. */
  'llama-bpe': {
    json: splitBy(
      [
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)",
        '[^\\r\\n\\p{L}\\p{N}]?\\p{L}+',
        '\\p{N}{1,3}',
        ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*',
        '\\s*[\\r\\n]+',
        '\\s+(?!\\S)',
        '\\s+',
      ].join('|'),
    ),
    ignoreMerges: true,
  },
} as const satisfies Record<string, PreTokenizer>;

export function isPreTokenizerName(name: string): name is keyof typeof PRE_TOKENIZERS {
  return Object.hasOwn(PRE_TOKENIZERS, name);
}
