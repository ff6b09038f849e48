/**
 * How many characters at the end of `text` may be the beginning of a stop string: they are held back until it is known
 * whether the rest of it follows.
 */
export function heldBack(text: string, stops: readonly string[]): number {
  let held = 0;
  for (const stop of stops) {
    for (let length = Math.min(stop.length - 1, text.length); length > held; length--) {
      if (text.endsWith(stop.slice(0, length))) held = length;
    }
  }
  return held;
}
