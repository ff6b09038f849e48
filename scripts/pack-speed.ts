/** Prints how fast the importer moves blocks of each GGUF type into the store's layout, on one thread. */
import { BLOCK_FORMATS } from '../src/formats/quant/formats.ts';

/** As much as the importer reads at once. */
const SLICE_BYTES = 4 << 20;
/** The fastest counts: the others are the compiler's, or other programs'. */
const RUNS = 50;

for (const [type, format] of BLOCK_FORMATS) {
  const groups = Math.floor(SLICE_BYTES / format.sourceBytes);
  const source = new Uint8Array(groups * format.sourceBytes).map((_, i) => (i * 2_654_435_761) >>> 24);
  const quants = new Uint8Array(groups * format.quantBytes);
  const scales = new Uint8Array(groups * format.scaleBytes);
  let bestMs = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const startMs = performance.now();
    format.repack(source, quants, scales);
    bestMs = Math.min(bestMs, performance.now() - startMs);
  }
  const perMinute = (source.byteLength / bestMs) * 60_000;
  console.log(`${type.padEnd(7)} ${(perMinute / 1e9).toFixed(0).padStart(5)} GB/min`);
}
