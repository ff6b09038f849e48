/** Pearson's test of observed counts against a distribution. */

/** Fewest draws expected in a cell; rarer outcomes share one. */
const LEAST_EXPECTED = 5;

/** The value that a chi-square variable exceeds with probability 1 %, by Wilson and Hilferty's approximation. */
export function chiSquareLimit(degrees: number): number {
  const NORMAL_99 = 2.3263478740408408;
  const share = 2 / (9 * degrees);
  return degrees * (1 - share + NORMAL_99 * Math.sqrt(share)) ** 3;
}

/** @throws Error where a draw is impossible under the distribution, or the test fails at 1 %. */
export function expectDistribution(
  draws: ArrayLike<number>,
  distribution: ArrayLike<number>,
  label: string,
): void {
  const counts = new Float64Array(distribution.length);
  for (let i = 0; i < draws.length; i++) {
    if (!(distribution[draws[i]!]! > 0)) {
      throw new Error(`${label}: draw ${i} is ${draws[i]}, which has no probability`);
    }
    counts[draws[i]!]!++;
  }
  let [statistic, cells, rareExpected, rareCount] = [0, 0, 0, 0];
  const addCell = (expected: number, count: number) => {
    statistic += (count - expected) ** 2 / expected;
    cells++;
  };
  for (let id = 0; id < distribution.length; id++) {
    const expected = distribution[id]! * draws.length;
    if (expected >= LEAST_EXPECTED) addCell(expected, counts[id]!);
    else [rareExpected, rareCount] = [rareExpected + expected, rareCount + counts[id]!];
  }
  if (rareExpected > 0) addCell(rareExpected, rareCount);
  const limit = cells > 1 ? chiSquareLimit(cells - 1) : 1e-9;
  if (!(statistic <= limit)) {
    throw new Error(
      `${label}: chi-square ${statistic.toFixed(1)} over ${limit.toFixed(1)} (${cells - 1} degrees of freedom)`,
    );
  }
}
