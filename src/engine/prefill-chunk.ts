/** Tokens of a prefill chunk: short enough for a slow device to notice an abort within a second or two. */
export function usualPrefillChunk({ isSoftware }: { isSoftware?: boolean }): number {
  return isSoftware === true ? 64 : 256;
}
