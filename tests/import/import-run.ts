/**
 * `tsx tests/import/import-run.ts URL FOLDER`: imports a GGUF by HTTP to a disk, in a process of its own whose memory can be
 * measured. Shards are written in turn over two files. Prints one line of JSON: {@link ImportRun}.
 */
import { readFileSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ModelSink, writeModel } from '../../src/engine/import/import-model.ts';
import { openSource } from '../../src/engine/import/open-source.ts';
import { planSource } from '../../src/engine/import/plan-source.ts';

export interface ImportRun {
  headerSeconds: number;
  seconds: number;
  sourceBytes: number;
  storedBytes: number;
  shards: number;
  /** Most memory that the process ever had resident, before and after the weights were read. */
  headerPeakBytes: number;
  peakBytes: number;
  /** Seconds of `seconds` that went into writing to the disk. */
  writeSeconds: number;
}

/** VmHWM of this process. Linux only. */
function peakBytes(): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}

const [url = '', folder = ''] = process.argv.slice(2);
const startMs = performance.now();
const secondsSince = (ms: number) => (performance.now() - ms) / 1000;

const { opened, plan } = await planSource(await openSource({ kind: 'address', address: url }));
const headerSeconds = secondsSince(startMs);
const headerPeakBytes = peakBytes();

await mkdir(folder, { recursive: true });
let written = 0;
let writeSeconds = 0;
const sink: ModelSink = {
  async writeShard(_, __, bytes) {
    const writeMs = performance.now();
    const file = await open(join(folder, `shard-${written++ % 2}`), 'w');
    await file.writeFile(bytes);
    await file.datasync();
    await file.close();
    writeSeconds += secondsSince(writeMs);
  },
  async complete() {},
};
const weights = opened.openWeights();
weights.expect(plan.shards.flatMap(({ items }) => items.flatMap(({ slices }) => slices)));
const weightsMs = performance.now();
await writeModel(opened.prepared, plan, weights, sink);
const run: ImportRun = {
  headerSeconds,
  seconds: secondsSince(weightsMs),
  sourceBytes: plan.sourceByteLength,
  storedBytes: plan.byteLength,
  shards: plan.shards.length,
  headerPeakBytes,
  peakBytes: peakBytes(),
  writeSeconds,
};
await weights.close();
await rm(folder, { recursive: true });
process.stdout.write(`${JSON.stringify(run)}\n`);
