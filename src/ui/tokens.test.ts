import { expect, test } from 'vitest';
import { tokens } from './tokens.css.ts';

/** Both colours of a token: `light-dark(#aaaaaa, #bbbbbb)`. */
function coloursOf(name: string): [light: string, dark: string] {
  const match = new RegExp(`--_${name}: var\\([^,]+, light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\)`).exec(
    tokens.cssText,
  );
  if (!match) throw new Error(`No colours for ${name}`);
  return [match[1]!, match[2]!];
}

/** Relative luminance as WCAG 2.2 defines it. */
function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((index) => {
    const value = Number.parseInt(colour.slice(index, index + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function contrast(a: string, b: string): number {
  const [lighter, darker] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (lighter! + 0.05) / (darker! + 0.05);
}

const pairs: [text: string, ground: string, least: number][] = [
  ...['surface', 'surface-raised', 'surface-sunken'].flatMap((ground): [string, string, number][] => [
    ['text', ground, 7],
    ['text-quiet', ground, 4.5],
    ['link', ground, 4.5],
  ]),
  ['on-loud', 'fill-loud', 4.5],
  ['on-loud', 'fill-loud-hover', 4.5],
  ['on-quiet', 'fill-quiet', 4.5],
  ['good', 'good-fill', 4.5],
  ['good', 'surface-raised', 4.5],
  ['warning', 'warning-fill', 4.5],
  ['warning', 'surface-raised', 4.5],
  ['danger', 'danger-fill', 4.5],
  ['danger', 'surface-raised', 4.5],
  ['text', 'danger-fill', 4.5],
  // Lines that tell a field from its ground, and focus rings: 3.
  ['border-strong', 'surface', 3],
  ['border-strong', 'surface-raised', 3],
  ['focus', 'surface', 3],
  ['focus', 'surface-raised', 3],
];

test.each(pairs)('%s on %s has a contrast of at least %d, light and dark', (text, ground, least) => {
  const [lightText, darkText] = coloursOf(text);
  const [lightGround, darkGround] = coloursOf(ground);
  expect(contrast(lightText, lightGround)).toBeGreaterThanOrEqual(least);
  expect(contrast(darkText, darkGround)).toBeGreaterThanOrEqual(least);
});
