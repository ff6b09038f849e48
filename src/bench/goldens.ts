/** What the self-check ships with. Made by scripts/build-bench-goldens.ts. */
import smolLm2 from './goldens/smollm2-135m-instruct.json' with { type: 'json' };
import type { Goldens } from './suites/selfcheck.ts';

export const GOLDENS: readonly Goldens[] = [smolLm2];
