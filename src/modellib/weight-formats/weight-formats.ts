/** How kernels read each weight format. To add one see docs/kernels.md. */
import type { WeightFormat } from '../../base/weight-formats.ts';
import type { FormatCode } from './format-code.ts';
import { iq4Formats } from './iq4.ts';
import { kQuants } from './k-quants.ts';
import { legacyFormats } from './legacy.ts';
import { plainFormats } from './plain.ts';

export const weightFormats: Readonly<Record<WeightFormat, FormatCode>> = {
  ...plainFormats,
  ...legacyFormats,
  ...kQuants,
  ...iq4Formats,
};
