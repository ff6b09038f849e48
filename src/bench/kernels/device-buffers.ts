/** Memory of a model on a device: what to allocate, what to fill it with, and as much of it as there is room for. */
import { bufferKey, dispatchStep } from '../../modellib/bind-step.ts';
import { type PlannedBuffer, planned, weight } from '../../modellib/library-spec.ts';
import {
  type LayerTensors,
  type Matrix,
  type ModelTensors,
  partByteLength,
  type Vector,
} from '../../models/model-description.ts';
import type { BenchDevice } from './bench-device.ts';
import { type Contents, fillStep, type OwnKernels } from './own-kernels.ts';

export interface Allocation {
  /** See `bufferKey`. */
  key: string;
  byteLength: number;
  /** Null: zero, but for `initial`. */
  contents: Contents | null;
  initial?: Uint8Array;
}

/** Spread of 4-bit quants about their mean. */
const NIBBLE_SPREAD = 4.6;

/** Exponent of factors (see {@link Contents}) that give a row of `columns` about unit norm. */
function unitExponent(columns: number, spread: number): number {
  return Math.min(14, Math.round(Math.log2(1.5 * spread * Math.sqrt(columns))));
}

function matrixAllocations({ format, columns, parts }: Matrix): Allocation[] {
  const quants: Contents =
    format === 'f16' || format === 'f32'
      ? { kind: format, exponent: unitExponent(columns, 1) }
      : { kind: 'bits' };
  // Every half word is a small f16, so nothing becomes NaN; formats that pack integers here read what they read.
  const scales: Contents = { kind: 'f16', exponent: unitExponent(columns, NIBBLE_SPREAD) };
  return parts.flatMap((part): Allocation[] => {
    const [quantBytes, scaleBytes] = partByteLength(format, part.rows, columns);
    const record = { key: bufferKey(weight(part.quants)), byteLength: quantBytes, contents: quants };
    if (part.scales === null) return [record];
    return [record, { key: bufferKey(weight(part.scales)), byteLength: scaleBytes, contents: scales }];
  });
}

function vectorAllocation({ length, record }: Vector): Allocation {
  return { key: bufferKey(weight(record)), byteLength: length * 4, contents: { kind: 'f32', exponent: 0 } };
}

export function layerWeights(layer: LayerTensors): Allocation[] {
  const { query, key, value, output, gate, up, down, attentionNorm, feedForwardNorm } = layer;
  return [
    ...[query, key, value, output, gate, up, down].flatMap(matrixAllocations),
    ...[attentionNorm, feedForwardNorm].map(vectorAllocation),
  ];
}

/** Weights outside the layers; a tied head once. */
export function outerWeights({ embedding, head, finalNorm }: ModelTensors): Allocation[] {
  return [
    ...matrixAllocations(embedding),
    ...(head === embedding ? [] : matrixAllocations(head)),
    vectorAllocation(finalNorm),
  ];
}

export function plannedAllocation({ name, byteLength, use, initial }: PlannedBuffer): Allocation {
  return {
    key: bufferKey(planned(name)),
    byteLength,
    contents: use === 'kv-cache' ? { kind: 'f16', exponent: 0 } : null,
    ...(initial === undefined ? {} : { initial }),
  };
}

export function totalBytes(allocations: readonly Allocation[]): number {
  return allocations.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Buffers by key, allocated in groups that are there as a whole or not at all. */
export class DeviceBuffers {
  readonly #bench: BenchDevice;
  readonly #own: OwnKernels;
  readonly #buffers = new Map<string, GPUBuffer>();

  constructor(bench: BenchDevice, own: OwnKernels) {
    this.#bench = bench;
    this.#own = own;
  }

  /** @throws Error for a key that was not allocated */
  get(key: string): GPUBuffer {
    const buffer = this.#buffers.get(key);
    if (buffer === undefined) throw new Error(`no buffer ${key}`);
    return buffer;
  }

  /** @returns false where the device has no room for all of them */
  async allocate(allocations: readonly Allocation[]): Promise<boolean> {
    const { device, wait } = this.#bench;
    device.pushErrorScope('out-of-memory');
    const created = allocations.map(({ byteLength }) =>
      device.createBuffer({
        size: Math.ceil(byteLength / 16) * 16,
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
      }),
    );
    if ((await wait(device.popErrorScope())) !== null) {
      for (const buffer of created) buffer.destroy();
      return false;
    }
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const [i, { key, byteLength, contents, initial }] of allocations.entries()) {
      const buffer = created[i]!;
      this.#buffers.set(key, buffer);
      if (contents !== null) {
        const step = fillStep(contents, byteLength, this.#buffers.size);
        dispatchStep(pass, await this.#own.bind(step, { contents: buffer }));
      }
      if (initial !== undefined) device.queue.writeBuffer(buffer, 0, Uint8Array.from(initial));
    }
    pass.end();
    device.queue.submit([encoder.finish()]);
    await wait(device.queue.onSubmittedWorkDone());
    return true;
  }

  destroy(): void {
    for (const buffer of this.#buffers.values()) buffer.destroy();
  }
}
