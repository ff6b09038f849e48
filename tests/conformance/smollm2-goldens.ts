/** What `scripts/oracle/smollm2_score.py` computed, decoded. Runs in Node and in browsers. */
import { decodeFloats } from './tiny-mistral-goldens.ts';

export interface ScoreFixture {
  sampleIds: number[];
  texts: {
    name: string;
    tokens: number[];
    top: number[][];
    topLogits: string;
    sample: string;
    mean: string;
    std: string;
    logSumExp: string;
  }[];
}

/** The prediction after tokens 0 to i of a text. */
export interface GoldenPosition {
  /** Ids of the eight highest logits, highest first, and their logits. */
  top: readonly number[];
  topLogits: Float32Array;
  /** Difference of the two highest logits: where it is small, another top token is no error. */
  margin: number;
  /** Logits at `sampleIds`. */
  sample: Float32Array;
  /** Of all logits. */
  mean: number;
  std: number;
  /** logit - logSumExp is the logprob. */
  logSumExp: number;
}

export interface GoldenText {
  name: string;
  tokens: readonly number[];
  positions: readonly GoldenPosition[];
}

export interface SmolLm2Goldens {
  /** 64 token ids, the same at every position. */
  sampleIds: readonly number[];
  texts: readonly GoldenText[];
}

export function smolLm2Goldens({ sampleIds, texts }: ScoreFixture): SmolLm2Goldens {
  return {
    sampleIds,
    texts: texts.map(({ name, tokens, ...packed }) => {
      const topLogits = decodeFloats(packed.topLogits);
      const sample = decodeFloats(packed.sample);
      const [mean, std, logSumExp] = [packed.mean, packed.std, packed.logSumExp].map(decodeFloats);
      const positions = packed.top.map((top, i): GoldenPosition => {
        const logits = topLogits.subarray(i * top.length, (i + 1) * top.length);
        return {
          top,
          topLogits: logits,
          margin: logits[0]! - logits[1]!,
          sample: sample.subarray(i * sampleIds.length, (i + 1) * sampleIds.length),
          mean: mean![i]!,
          std: std![i]!,
          logSumExp: logSumExp![i]!,
        };
      });
      return { name, tokens, positions };
    }),
  };
}
