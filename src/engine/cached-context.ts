/** What the KV cache holds, as token ids, and which of them are answers: so that a prompt computes only what is new. */

/** A turn as the template renders it. */
export interface PromptTurn {
  role: 'user' | 'assistant';
  text: string;
}

interface Answer {
  /** Position of its first token. */
  start: number;
  tokens: readonly number[];
  /** What its tokens spell. */
  text: string;
}

export class CachedContext {
  readonly #tokens: number[] = [];
  /** In the order of their positions. */
  #answers: Answer[] = [];

  get tokens(): readonly number[] {
    return this.#tokens;
  }

  append(tokens: readonly number[]): void {
    for (const token of tokens) this.#tokens.push(token);
  }

  /** Forgets all from position `length` on. */
  cut(length: number): void {
    this.#tokens.length = Math.min(this.#tokens.length, length);
    this.#answers = this.#answers.filter(({ start }) => start < length);
  }

  /**
   * Tells that an answer begins at position `start`. Its last tokens need not be in the cache: what ended the answer
   * from outside left its last token uncomputed.
   */
  addAnswer(answer: Answer): void {
    this.#answers.push(answer);
  }

  /**
   * Ids of a prompt: each turn by itself. An answer that the model gave at this very place keeps the ids that it gave,
   * which need not be those that `encode` finds for its text.
   */
  encodeTurns(turns: readonly PromptTurn[], encode: (text: string) => readonly number[]): number[] {
    const prompt: number[] = [];
    for (const { role, text } of turns) {
      const answer =
        role === 'assistant'
          ? this.#answers.find((one) => one.start === prompt.length && one.text === text)
          : undefined;
      const isSame = answer !== undefined && this.commonLength(prompt) === prompt.length;
      for (const token of isSame ? answer.tokens : encode(text)) prompt.push(token);
    }
    return prompt;
  }

  /** How many tokens of `prompt` the cache begins with. */
  commonLength(prompt: readonly number[]): number {
    const end = Math.min(prompt.length, this.#tokens.length);
    let length = 0;
    while (length < end && prompt[length] === this.#tokens[length]) length++;
    return length;
  }
}
