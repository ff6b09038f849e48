/**
 * One import of a GGUF by its address, from a server that fails in ways chosen by a seed, and what must hold of it
 * whatever they are: it ends in a store that is right to the byte, or in a typed error; nothing that was stored before is
 * harmed; and once the server behaves, a second import completes without fetching again what had arrived. In Node and
 * in a browser.
 */
import { delay } from '../../src/base/abort.ts';
import { isTramontaneError } from '../../src/base/errors.ts';
import type { ImportSource } from '../../src/engine/api.ts';
import { importGguf } from '../../src/engine/import/import-model.ts';
import { sourceRanges } from '../../src/engine/import/import-plan.ts';
import { openSource } from '../../src/engine/import/open-source.ts';
import { planSource } from '../../src/engine/import/plan-source.ts';
import { StoreModelManager } from '../../src/engine/model-manager.ts';
import { memorySource } from '../../src/formats/byte-source.ts';
import type { WeightStore } from '../../src/storage/weight-store.ts';
import { findFault, storeFolderModel } from '../tools/folder-model.ts';
import type { Fault, FaultKind, HostileServerOptions, ServedAnswer } from '../tools/hostile-server.ts';
import { MemorySink } from '../tools/memory-sink.ts';
import { createRandom } from '../tools/random.ts';
import { createTestClock } from '../tools/test-clock.ts';
import type { RunResult, ServerControl } from './seeded-download.ts';

/** Paths on the server: the file that is imported, and another build of it, under the same name. */
export const GGUF_PATHS = { model: '/model.gguf', older: '/older.gguf' } as const;
export const IMPORTED_ID = 'tiny-mistral-q4_0';
const OTHER = 'other';
export type StartGgufServer = (options: HostileServerOptions) => Promise<ServerControl>;

export const IMPORT_LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 256 << 10 };
/** What comes with the first answer of each import, whatever of it is needed. */
const HEAD_BYTES = 1 << 20;
/** Of one connection that breaks, in buffers between a server and its reader. */
const IN_FLIGHT_BYTES = 128 << 10;
const CONNECTIONS = 4;
const SETTLE_MS = 50;
const STALL_MS = 300;

interface Plan {
  server: HostileServerOptions;
  faults: Fault[];
  /** Fraction of the bytes after which the import is aborted; null: never. */
  abortAt: number | null;
  hasOlder: boolean;
}

function planRun(seed: number, hasOrigins: boolean): Plan {
  const random = createRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const etags = random() < 0.8;
  const kinds: FaultKind[] = ['cut', 'reset', 'status', 'redirect', 'no-range', 'short', 'long'];
  kinds.push('wrong-range', 'changed', 'drip', 'stall', 'flip');
  if (hasOrigins) kinds.push('no-cors');
  const faults = Array.from({ length: Math.ceil(random() * 6) }, (_, i): Fault => {
    // Few seeds in a row have every kind.
    const kind = i === 0 ? kinds[seed % kinds.length]! : pick(kinds);
    return {
      kind,
      path: GGUF_PATHS.model,
      after: Math.floor(random() * (random() < 0.3 ? 2 : 40)),
      times: random() < 0.1 ? 99 : Math.ceil(random() * 3),
      // Of the first answer the second half is weights: nobody can tell that a bit of them has flipped.
      at: kind === 'flip' ? 0.5 + random() / 2 : random(),
      status: pick([404, 408, 429, 500, 503]),
      ...(random() < 0.5 && { retryAfter: pick(['0', '7', '100000', 'soon']) }),
      // Without an ETag nobody can tell, either.
      altered: kind === 'changed' && etags && random() < 0.5,
    };
  });
  return {
    server: { etags, chunkBytes: 4096 },
    faults,
    abortAt: random() < 0.2 ? random() : null,
    hasOlder: random() < 0.5,
  };
}

/** Shards by name, as an import of good bytes makes them. */
type Shards = ReadonlyMap<string, Uint8Array>;

let goodShards: Promise<Shards[]> | null = null;

/** @returns the shards of the model and of its older build */
export async function expectShards(server: ServerControl): Promise<Shards[]> {
  goodShards ??= Promise.all(
    [GGUF_PATHS.model, GGUF_PATHS.older].map(async (path) => {
      const answer = await fetch(new URL(path, server.url));
      const sink = new MemorySink();
      await importGguf(memorySource(new Uint8Array(await answer.arrayBuffer())), sink, IMPORT_LIMITS);
      return new Map([...sink.files].filter(([name]) => name.startsWith('params')));
    }),
  );
  return goodShards;
}

/** @throws Error saying what does not hold */
export async function runSeededImport(
  seed: number,
  startServer: StartGgufServer,
  store: WeightStore,
  hasOrigins: boolean,
): Promise<RunResult> {
  const plan = planRun(seed, hasOrigins);
  const server = await startServer(plan.server);
  const stalls = plan.faults.some(({ kind }) => kind === 'stall' || kind === 'drip');
  const createManager = (stallMs?: number) => {
    const download = { clock: createTestClock(seed), stallMs };
    return new StoreModelManager({ store, limits: IMPORT_LIMITS, download });
  };
  const manager = createManager();
  const at = (path: string) => ({ kind: 'address', address: new URL(path, server.url).href }) as const;
  try {
    const [model, older] = (await expectShards(server)) as [Shards, Shards];
    const other = await storeFolderModel(store, OTHER);
    if (plan.hasOlder) await manager.importModel(at(GGUF_PATHS.older));
    let from = (await server.readAnswers()).length;
    const answersSince = async () =>
      (await server.readAnswers()).slice(from).filter(({ path }) => path === GGUF_PATHS.model);

    await server.setFaults(plan.faults);
    const abort = new AbortController();
    const outcome = await createManager(stalls ? STALL_MS : undefined)
      .importModel(at(GGUF_PATHS.model), {
        signal: abort.signal,
        onProgress: ({ bytes, totalBytes }) => {
          if (plan.abortAt !== null && bytes >= plan.abortAt * totalBytes) abort.abort(ABORTED);
        },
      })
      .then(
        () => 'stored',
        (error: unknown) => {
          if (error === ABORTED) return 'aborted';
          if (isTramontaneError(error) && error.nextStep !== null) return error.code;
          throw error;
        },
      );
    if (outcome !== 'stored') await delay(SETTLE_MS);
    const first = await answersSince();
    const flips = first.filter(({ fault }) => fault === 'flip').length;
    const isSpoilt = first.some(({ fault }) => fault === 'changed');
    demand((await findFault(store, OTHER, other)) === null, 'another model is damaged');
    if (outcome === 'stored') await requireShards(store, model, flips);
    else if (plan.hasOlder) await requireShards(store, older, 0);
    else demand((await store.readModel(IMPORTED_ID)) === null, 'half a model counts as whole');
    const lost = first
      .filter(({ fault }) => fault !== null)
      .reduce((sum, { sentBytes }) => sum + sentBytes, 0);
    // On a busy machine any answer may seem to stall.
    const broken = stalls ? first.length : 0;
    const allowed = lost + (CONNECTIONS + broken) * IN_FLIGHT_BYTES;
    const twice = countTwice(first);
    demand(twice <= allowed, `${twice} bytes were sent twice; ${allowed} are explained`);

    await server.setFaults([]);
    const { missing, keptBytes } = await readMissing(store, at(GGUF_PATHS.model));
    from = (await server.readAnswers()).length;
    await manager.importModel(at(GGUF_PATHS.model), { restart: isSpoilt });
    const second = await answersSince();
    await requireShards(store, model, flips);
    demand((await findFault(store, OTHER, other)) === null, 'another model is damaged');
    demand((await store.listPending()).length === 0, 'a pending state is left');
    demand((await store.countJournalled(IMPORTED_ID)) === 0, 'a journal is left');
    if (plan.server.etags === true && !isSpoilt) {
      const sent = second.reduce((sum, answer) => sum + beyondHead(answer), 0);
      demand(sent === missing, `${sent} bytes were sent the second time, when ${missing} were missing`);
    }
    demand(countTwice(second) === 0, 'the second import asked for bytes twice');
    return { outcome, faults: plan.faults.map(({ kind }) => kind), keptBytes };
  } finally {
    await manager.dispose();
    await server.close();
  }
}

const ABORTED = new DOMException('The test has had enough.', 'AbortError');

export function beyondHead({ offset, sentBytes }: ServedAnswer): number {
  return Math.max(0, offset + sentBytes - Math.max(offset, HEAD_BYTES));
}

/** Bytes beyond the head of the file that an import has still to fetch, and all bytes of the file that it has. */
export async function readMissing(
  store: WeightStore,
  source: ImportSource,
): Promise<{ missing: number; keptBytes: number }> {
  const { plan, identity, opened } = await planSource(await openSource(source), IMPORT_LIMITS);
  const stored = [await store.readModel(IMPORTED_ID), await store.readPending(IMPORTED_ID)].filter(
    (each) => each?.identity === identity,
  );
  const done = new Set(
    stored.flatMap((each) => ('shards' in each! ? each.shards : each!.files)).map(({ name }) => name),
  );
  const ranges = plan.shards.filter(({ name }) => !done.has(name)).flatMap(sourceRanges);
  const wanted = new Uint8Array(Math.max(0, ...ranges.map(({ offset, byteLength }) => offset + byteLength)));
  for (const { offset, byteLength } of ranges) wanted.fill(1, offset, offset + byteLength);
  const entries = await store.openJournal(IMPORTED_ID, opened.url!, identity).list();
  for (const { offset, byteLength } of entries) wanted.fill(0, offset, offset + byteLength);
  const sum = (bytes: Uint8Array) => {
    let total = 0;
    for (const byte of bytes) total += byte;
    return total;
  };
  return { missing: sum(wanted.subarray(HEAD_BYTES)), keptBytes: plan.sourceByteLength - sum(wanted) };
}

/** Bytes beyond the head of the file that were sent more than once. */
function countTwice(answers: readonly ServedAnswer[]): number {
  const ends = answers.map(({ offset, sentBytes }) => offset + sentBytes);
  const counts = new Uint8Array(Math.max(0, ...ends));
  for (const { offset, sentBytes, method } of answers) {
    if (method !== 'GET') continue;
    for (let i = offset; i < offset + sentBytes; i++) counts[i]!++;
  }
  let twice = 0;
  for (let i = HEAD_BYTES; i < counts.length; i++) twice += Math.max(0, counts[i]! - 1);
  return twice;
}

/** A bit that flips on its way shows in one weight or scale, and so in one word of a record; and nowhere else. */
const WORD_BYTES = 4;

export async function requireShards(store: WeightStore, expected: Shards, flips: number): Promise<void> {
  const stored = await store.readModel(IMPORTED_ID);
  const names = stored?.files.map(({ name }) => name).join() ?? null;
  demand(names === [...expected.keys()].join(), `the manifest lists ${names}`);
  let altered = 0;
  for (const { name, storedName } of stored!.files) {
    const blob = await store.readFile(IMPORTED_ID, storedName);
    const good = expected.get(name)!;
    demand(blob?.size === good.byteLength, `${name} has ${blob?.size} of ${good.byteLength} bytes`);
    const bytes = new Uint8Array(await blob!.arrayBuffer());
    const differs = (word: number) => {
      for (let i = word; i < word + WORD_BYTES; i++) if (bytes[i] !== good[i]) return true;
      return false;
    };
    for (let word = 0; word < bytes.length; word += WORD_BYTES) if (differs(word)) altered++;
  }
  demand(altered <= flips, `${altered} words are altered; ${flips} bits flipped`);
}

function demand(condition: boolean, problem: string): void {
  if (!condition) throw new Error(problem);
}
