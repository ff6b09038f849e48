/** Random matrices in every weight format, with the records that hold them and their exact values. */
import { numberToFloat16 } from '../../src/base/float16.ts';
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
    const [quantBytes, scaleBytes] = partByteLength(format, height, columns);
    const part: MatrixPart = {
      rowStart,
      rows: height,
      quants: `${name}.${i}.q`,
      scales: scaleBytes > 0 ? `${name}.${i}.s` : null,
    };
    records[part.quants] = randomQuants(random, format, quantBytes, columns);
    if (part.scales !== null) records[part.scales] = randomScales(random, format, scaleBytes, columns);
    parts.push(part);
    rowStart += height;
  }
  if (rowStart !== rows) throw new Error(`parts of ${partRows.join(' + ')} rows do not make ${rows}`);
  const matrix = { format, rows, columns, parts };
  const buffers = Object.fromEntries(Object.entries(records).map(([key, bytes]) => [`weight:${key}`, bytes]));
  return { matrix, records, buffers, values: decodeMatrix(matrix, (record) => records[record]!) };
}

function randomQuants(
  random: () => number,
  format: WeightFormat,
  byteLength: number,
  columns: number,
): Uint8Array {
  const deviation = 1 / Math.sqrt(columns);
  switch (weightFormats[format].quantKind) {
    case 'f32':
      return new Uint8Array(randomNormal(random, byteLength / 4, deviation).buffer);
    case 'f16':
      return new Uint8Array(
        Uint16Array.from(randomNormal(random, byteLength / 2, deviation), numberToFloat16).buffer,
      );
    case 'integer':
      return Uint8Array.from({ length: byteLength }, () => Math.floor(random() * 256));
  }
}

/** Scales that give quants of the format's width about the wanted deviation; minimums that centre them. */
function randomScales(
  random: () => number,
  format: WeightFormat,
  byteLength: number,
  columns: number,
): Uint8Array {
  const { quantWords, scaleCount } = weightFormats[format];
  const levels = 2 ** quantWords;
  const scale = () => ((0.5 + random()) * 3.5) / levels / Math.sqrt(columns);
  const values = Float32Array.from({ length: byteLength / 2 }, scale);
  if (scaleCount === 2) {
    for (let i = 1; i < values.length; i += 2) values[i] = -values[i - 1]! * (levels / 2 - 1 + random());
  }
  return new Uint8Array(Uint16Array.from(values, numberToFloat16).buffer);
}
