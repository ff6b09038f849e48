/**
 * How text is kept from turning into control tokens. In the tokenizer.json that we hand to WebLLM the surface of
 * every control token (`[INST]`, `<|im_start|>`) is replaced by its private form, U+0001 id U+0002. Templates write
 * private forms; nobody else can, because whatever comes from users, documents, tools or earlier answers loses every
 * U+0001 before it is put into a prompt.
 */

const START = '\u0001';
const END = '\u0002';
const PRIVATE_FORM = new RegExp(`${START}\\d+${END}`, 'g');

/**
 * The private form of a control token. Its first character also keeps control tokens out of JSON under a grammar:
 * JSON strings admit no character below U+0020.
 */
export function privateForm(id: number): string {
  return `${START}${id}${END}`;
}

/**
 * Text that contains no private form and of which no part can be one. Removing U+0001 suffices: every private form
 * begins with it, and a tokenizer finds a form only where the whole of it stands, so text without U+0001 has none,
 * whatever stands before or after it. U+0002 and digits alone mean nothing and stay.
 */
export function stripPrivateForms(input: string): string {
  return input.includes(START) ? input.replaceAll(START, '') : input;
}

/** True where a private form stands in `text`. */
export function hasPrivateForm(text: string): boolean {
  return text.includes(START) && text.search(PRIVATE_FORM) >= 0;
}

/** Generated text without the private forms of control tokens that the model produced. */
export function hidePrivateForms(output: string): string {
  return output.includes(START) ? output.replace(PRIVATE_FORM, '') : output;
}
