/**
 * Generated text without the characters at its end of which not all bytes are there yet: they decode to U+FFFD. Take
 * the whole text anew after each token rather than joining what each adds: while a character is spelled byte by byte
 * (SentencePiece), complete ones right before it may decode to U+FFFD as well, and come back once it is complete.
 */
export function completeText(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === '\uFFFD') end--;
  return text.slice(0, end);
}
