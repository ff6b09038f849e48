/** Random matrices in every weight format, with the records that hold them and their exact values. */
import { numberToFloat16 } from '../../src/base/float16.ts';
import { WEIGHT_FORMATS } from '../../src/base/weight-formats.ts';
import { decodeMatrix } from '../../src/modellib/weight-formats/decode-matrix.ts';
import { weightFormats } from '../../src/modellib/weight-formats/weight-formats.ts';
import {
  type Matrix,
  type MatrixPart,
  partByteLength,
  type WeightFormat,
} from '../../src/models/model-description.ts';
import { randomNormal } from './random.ts';

export interface RandomMatrix {
  matrix: Matrix;
  /** Contents by record name. */
  records: Record<string, Uint8Array>;
  /** The same under the keys that runSteps wants: `weight:RECORD`. */
  buffers: Record<string, Uint8Array>;
  /** [rows, columns], exactly what the records mean. */
  values: Float32Array;
}

/**
 * Weights of about unit variance over the square root of `columns`, in parts of the given heights (default: one part).
 */
export function randomMatrix(
  random: () => number,
  options: {
    name: string;
    format: WeightFormat;
    rows: number;
    columns: number;
    partRows?: readonly number[];
  },
): RandomMatrix {
  const { name, format, rows, columns, partRows = [rows] } = options;
  const records: Record<string, Uint8Array> = {};
  const parts: MatrixPart[] = [];
  let rowStart = 0;
  for (const [i, height] of partRows.entries()) {
    const groups = (height * columns) / WEIGHT_FORMATS[format].groupColumns;
    const [quants, scales] = randomRecords(random, format, groups, columns);
    const part: MatrixPart = {
      rowStart,
      rows: height,
      quants: `${name}.${i}.q`,
      scales: scales.length > 0 ? `${name}.${i}.s` : null,
    };
    records[part.quants] = quants;
    if (part.scales !== null) records[part.scales] = scales;
    parts.push(part);
    rowStart += height;
  }
  if (rowStart !== rows) throw new Error(`parts of ${partRows.join(' + ')} rows do not make ${rows}`);
  const matrix = { format, rows, columns, parts };
  const buffers = Object.fromEntries(Object.entries(records).map(([key, bytes]) => [`weight:${key}`, bytes]));
  return { matrix, records, buffers, values: decodeMatrix(matrix, (record) => records[record]!) };
}

/** Records of `groups` groups, [quants, scales]: any bits at all, but for f16 scales that make sense. */
function randomRecords(
  random: () => number,
  format: WeightFormat,
  groups: number,
  columns: number,
): [quants: Uint8Array, scales: Uint8Array] {
  const { groupColumns } = WEIGHT_FORMATS[format];
  const [quantBytes, scaleBytes] = partByteLength(format, groups, groupColumns);
  const deviation = 1 / Math.sqrt(columns);
  const { quants: kind, halves } = weightFormats[format].testData;
  if (kind !== 'bits')
    return [randomValues(random, kind, groups * groupColumns, deviation), new Uint8Array(0)];
  const bytes = (count: number) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256));
  const records: [Uint8Array, Uint8Array] = [bytes(quantBytes), bytes(scaleBytes)];
  const unit = calibrate(format, bytes);
  for (let group = 0; group < groups; group++) {
    const scale = ((0.5 + random()) * deviation) / unit.deviation;
    const signed = random() < 0.5 ? -scale : scale;
    setHalves(format, records[1], group, [signed, signed * unit.minimum].slice(0, halves.length));
  }
  return records;
}

function randomValues(
  random: () => number,
  kind: 'f32' | 'f16' | 'bf16',
  count: number,
  deviation: number,
): Uint8Array {
  const values = randomNormal(random, count, deviation);
  if (kind === 'f32') return new Uint8Array(values.buffer);
  const bits = new Uint32Array(values.buffer);
  const halves =
    kind === 'f16'
      ? Uint16Array.from(values, numberToFloat16)
      : Uint16Array.from(bits, (word) => word >>> 16);
  return new Uint8Array(halves.buffer);
}

/** Weights are linear in a group's f16 values: how far they spread where the scale is 1, centred by the minimum. */
function calibrate(
  format: WeightFormat,
  bytes: (count: number) => Uint8Array,
): { deviation: number; minimum: number } {
  const { groupColumns } = WEIGHT_FORMATS[format];
  const { decode, testData } = weightFormats[format];
  const groups = 16;
  const [quants, scales] = partByteLength(format, groups, groupColumns).map(bytes) as [
    Uint8Array,
    Uint8Array,
  ];
  const record = { quants: new DataView(quants.buffer), scales: new DataView(scales.buffer) };
  const statistics = (...values: number[]) => {
    for (let group = 0; group < groups; group++) {
      setHalves(format, scales, group, values.slice(0, testData.halves.length));
    }
    const weights = Array.from({ length: groups * groupColumns }, (_, i) => decode(record, i >> 5, i & 31));
    const mean = weights.reduce((sum, weight) => sum + weight, 0) / weights.length;
    return {
      mean,
      deviation: Math.sqrt(weights.reduce((sum, w) => sum + (w - mean) ** 2, 0) / weights.length),
    };
  };
  const minimum = testData.halves.length === 2 ? -statistics(1, 0).mean / statistics(0, 1).mean : 0;
  return { deviation: statistics(1, minimum).deviation, minimum };
}

/** Writes the f16 values of a group's scales. */
function setHalves(format: WeightFormat, scales: Uint8Array, group: number, values: readonly number[]): void {
  const view = new DataView(scales.buffer);
  const { halves } = weightFormats[format].testData;
  const start = group * WEIGHT_FORMATS[format].scaleBytes;
  for (const [i, value] of values.entries()) {
    view.setUint16(start + halves[i]! * 2, numberToFloat16(value), true);
  }
}
