/** What `scripts/oracle/tiny_mistral.py` computed, decoded. */

export interface TinyMistralFixture {
  ggufSha256: string;
  vocabularySize: number;
  promptLength: number;
  tokens: number[];
  logits: string;
}

export interface TinyMistralGoldens {
  /** Of the GGUF for which the logits hold. */
  ggufSha256: string;
  vocabularySize: number;
  /** Tokens of the prompt; those after it followed greedily. */
  promptLength: number;
  tokens: number[];
  /** [tokens.length][vocabularySize]: row i after tokens 0 to i. */
  logits: Float32Array;
  row(index: number): Float32Array;
}

/** Little-endian f32 values from base64. Runs in Node and in browsers. */
export function decodeFloats(base64: string): Float32Array {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length / 4 }, (_, i) => view.getFloat32(i * 4, true));
}

export function tinyMistralGoldens(fixture: TinyMistralFixture): TinyMistralGoldens {
  const logits = decodeFloats(fixture.logits);
  const { vocabularySize } = fixture;
  return {
    ...fixture,
    logits,
    row: (index) => logits.subarray(index * vocabularySize, (index + 1) * vocabularySize),
  };
}
