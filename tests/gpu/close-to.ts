/** Compares arrays by the measure used throughout: max|difference| / max|expected|. */

/** @throws Error that names the worst index, what was expected there and what was found. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  label = 'values',
): void {
  if (actual.length !== expected.length) {
    throw new Error(`${label}: ${actual.length} values, expected ${expected.length}`);
  }
  let scale = 0;
  let worst = -1;
  let worstDifference = 0;
  for (let i = 0; i < expected.length; i++) {
    scale = Math.max(scale, Math.abs(expected[i]!));
    const difference = Math.abs(actual[i]! - expected[i]!);
    if (!(difference <= worstDifference)) {
      worst = i;
      worstDifference = difference;
    }
  }
  const error = worstDifference / (scale || 1);
  if (!(error <= tolerance)) {
    throw new Error(
      `${label}: error ${error.toExponential(3)} over ${tolerance.toExponential(1)}; ` +
        `worst at ${worst} of ${expected.length}: expected ${expected[worst]}, got ${actual[worst]}`,
    );
  }
}
