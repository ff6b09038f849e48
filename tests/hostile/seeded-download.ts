/**
 * One download from a server that fails in ways chosen by a seed, and what must hold of it whatever they are: it ends
 * in a store that is right to the byte, or in a typed error; nothing that was stored before is harmed; and once the
 * server behaves, a second download completes without fetching again what had arrived. In Node and in a browser.
 */
import { delay } from '../../src/base/abort.ts';
import { isTramontaneError } from '../../src/base/errors.ts';
import { fetchModel } from '../../src/engine/fetch-model.ts';
import { listShards } from '../../src/engine/shard-list.ts';
import { sumBytes, type WeightStore } from '../../src/storage/weight-store.ts';
import {
  createFolderModel,
  type FolderModel,
  type FolderModelOptions,
  findFault,
} from '../tools/folder-model.ts';
import type { Fault, FaultKind, HostileServerOptions, ServedAnswer } from '../tools/hostile-server.ts';
import { createRandom } from '../tools/random.ts';
import { createTestClock } from '../tools/test-clock.ts';

export interface ServerControl {
  url: string;
  setFaults(faults: readonly Fault[]): Promise<void>;
  readAnswers(): Promise<readonly ServedAnswer[]>;
  close(): Promise<void>;
}

/** Starts a server of these models' folders. */
export type StartServer = (
  models: readonly FolderModelOptions[],
  options: HostileServerOptions,
) => Promise<ServerControl>;

/** How the first download ended. */
export interface RunResult {
  outcome: 'stored' | 'aborted' | string;
  faults: readonly FaultKind[];
  /** Bytes of shards that the second download did not have to fetch. */
  keptBytes: number;
}

/** Of one connection that breaks, in buffers between a server and its reader. */
const IN_FLIGHT_BYTES = 128 << 10;
/** At least what a server sends that sends too much. */
const EXTRA_BYTES = 100;
const MODEL = 'm';
const SETTLE_MS = 50;
/** Where the plan has a server stall. */
const STALL_MS = 400;

/** Faults after which a part of a shard is of no use: other bytes, none that say where they belong, or withheld ones. */
const SPOILING: readonly FaultKind[] = ['changed', 'no-range', 'long', 'wrong-range', 'short', 'no-cors'];

interface Plan {
  model: FolderModelOptions;
  server: HostileServerOptions;
  faults: Fault[];
  /** Fraction of the bytes after which the download is aborted; null: never. */
  abortAt: number | null;
  journalBytes: number;
  /** Whether an older build is stored under the same name. */
  hasOlder: boolean;
}

/** @param hasOrigins whether the reader obeys CORS */
function planRun(seed: number, hasOrigins: boolean): Plan {
  const random = createRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const shardLengths = Array.from({ length: 2 + Math.floor(random() * 4) }, () =>
    Math.ceil(40 * 10_000 ** random()),
  );
  const hash = random() < 0.8 ? 'sha256' : pick(['md5', 'none'] as const);
  const kinds: FaultKind[] = ['cut', 'reset', 'status', 'redirect', 'no-range', 'short', 'long'];
  kinds.push('wrong-range', 'changed', 'drip', 'stall');
  // Without a checksum nobody can tell.
  if (hash === 'sha256') kinds.push('flip');
  if (hasOrigins) kinds.push('no-cors');
  const faults = Array.from({ length: Math.ceil(random() * 8) }, (): Fault => {
    const kind = pick(kinds);
    const name =
      random() < 0.9 ? `params_shard_${Math.floor(random() * shardLengths.length)}.bin` : 'tokenizer.json';
    return {
      kind,
      path: `/new/${name}`,
      after: Math.floor(random() * 3),
      times: random() < 0.1 ? 99 : Math.ceil(random() * 3),
      at: random(),
      status: pick([404, 408, 429, 500, 503]),
      ...(random() < 0.5 && {
        retryAfter: pick(['0', '7', '100000', 'soon', 'Thu, 01 Jan 2026 00:00:09 GMT']),
      }),
      altered: kind === 'changed' && hash === 'sha256' && random() < 0.5,
    };
  });
  return {
    model: { seed, shardLengths, hash, path: '/new/' },
    server: { etags: random() < 0.8, chunkBytes: 4096 },
    faults,
    abortAt: random() < 0.2 ? random() : null,
    journalBytes: Math.ceil(1000 * 64 ** random()),
    hasOlder: random() < 0.5,
  };
}

/** @throws Error saying what does not hold */
export async function runSeededDownload(
  seed: number,
  startServer: StartServer,
  store: WeightStore,
  hasOrigins: boolean,
): Promise<RunResult> {
  const plan = planRun(seed, hasOrigins);
  const others = { seed: seed + 1e6, shardLengths: [700, 900] };
  const options = [plan.model, { ...others, path: '/older/' }, { ...others, path: '/other/' }];
  const [model, older, other] = (await Promise.all(options.map(createFolderModel))) as [
    FolderModel,
    FolderModel,
    FolderModel,
  ];
  const server = await startServer(options, plan.server);
  const stalls = plan.faults.some(({ kind }) => kind === 'stall' || kind === 'drip');
  let reportedBytes = 0;
  const load = (id: string, folder: string, abort?: AbortController) =>
    fetchModel(
      { id, url: new URL(folder, server.url).href },
      {
        store,
        baseUrl: server.url,
        clock: createTestClock(seed),
        ...(abort !== undefined && stalls && { stallMs: STALL_MS }),
        journalBytes: plan.journalBytes,
        ...(abort && {
          signal: abort.signal,
          onProgress: ({ bytes }) => {
            reportedBytes = bytes;
            if (plan.abortAt !== null && bytes >= plan.abortAt * model.shardBytes) abort.abort(ABORTED);
          },
        }),
      },
    );
  const sentOf = async (from: number, path: string) => {
    const answers = (await server.readAnswers()).slice(from).filter((answer) => answer.path === path);
    return { answers, bytes: sumOf(answers.map(({ sentBytes }) => sentBytes)) };
  };
  try {
    await load('other', 'other/');
    if (plan.hasOlder) await load(MODEL, 'older/');

    await server.setFaults(plan.faults);
    let from = (await server.readAnswers()).length;
    const outcome = await load(MODEL, 'new/', new AbortController()).then(
      () => 'stored',
      (error: unknown) => {
        if (error === ABORTED) return 'aborted';
        if (isTramontaneError(error) && error.nextStep !== null) return error.code;
        throw error;
      },
    );
    await check(findFault(store, 'other', other), 'another model');
    // With an older build stored, a folder that cannot be reached is not an error: the older one is used.
    const isNew = (await findFault(store, MODEL, model)) === null;
    if (!isNew && plan.hasOlder) await check(findFault(store, MODEL, older), 'the older build');
    demand(isNew || plan.hasOlder || outcome !== 'stored', 'it said stored, and is not');
    demand(isNew || plan.hasOlder || (await store.readModel(MODEL)) === null, 'half a model counts as whole');
    for (const { path, contents } of model.shards) {
      const { answers, bytes } = await sentOf(from, path);
      const wasted = answers
        // On a busy machine any answer may seem to stall, where that is being waited for.
        .filter(({ fault, altered }) => altered || fault !== null || stalls)
        .map(({ fault, altered }) =>
          altered || (fault !== null && SPOILING.includes(fault))
            ? contents.byteLength + EXTRA_BYTES
            : IN_FLIGHT_BYTES,
        );
      const allowed = contents.byteLength + sumOf(wasted);
      demand(bytes <= allowed, `${path} was sent as ${bytes} bytes; ${allowed} are explained`);
    }

    // Requests of the first download may still be on their way to the server.
    if (outcome !== 'stored') await delay(SETTLE_MS);
    const kept = await readKept(store, model, plan.server);
    const isTrusted = plan.server.etags === true || plan.model.hash === 'sha256';
    demand(
      reportedBytes === sumOf(kept) || !isTrusted,
      `${reportedBytes} bytes had come, and ${sumOf(kept)} were kept`,
    );
    await server.setFaults([]);
    const firstAnswers = (await server.readAnswers()).slice(from);
    from += firstAnswers.length;
    await load(MODEL, 'new/');
    await check(findFault(store, MODEL, model), 'the model after a second download');
    await check(findFault(store, 'other', other), 'another model');
    demand((await store.readPending(MODEL)) === null, 'a pending state is left');
    demand((await store.countJournalled(MODEL)) === 0, 'a journal is left');
    for (const [i, { path, contents }] of model.shards.entries()) {
      const { bytes } = await sentOf(from, path);
      const isSpoilt = firstAnswers.some(
        (answer) => answer.path === path && (answer.altered || answer.fault === 'changed'),
      );
      const expected = contents.byteLength - kept[i]!;
      demand(
        isSpoilt ? bytes <= 2 * contents.byteLength : bytes === expected,
        `${path} was sent as ${bytes} bytes the second time; ${kept[i]} of ${contents.byteLength} had been kept`,
      );
    }
    return { outcome, faults: plan.faults.map(({ kind }) => kind), keptBytes: sumOf(kept) };
  } finally {
    await server.close();
  }
}

const ABORTED = new DOMException('The test has had enough.', 'AbortError');

/** Bytes of each shard that are stored, or else journalled and of use. */
async function readKept(
  store: WeightStore,
  model: FolderModel,
  { etags }: HostileServerOptions,
): Promise<number[]> {
  const listing = new TextDecoder().decode(model.files.get('/new/tensor-cache.json'));
  return await Promise.all(
    listShards(JSON.parse(listing)).map(async ({ storedName, byteLength, sha256 }) => {
      if ((await store.readFile(MODEL, storedName))?.size === byteLength) return byteLength;
      // Without an ETag or a checksum a part of a shard is not trusted in a later session.
      if (etags !== true && sha256 === null) return 0;
      const states = await store.listJournals(MODEL, storedName);
      const pieces = states.map((state) => store.openJournal(MODEL, storedName, state).list());
      return sumBytes((await Promise.all(pieces)).flat());
    }),
  );
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

function demand(condition: boolean, problem: string): void {
  if (!condition) throw new Error(problem);
}

async function check(fault: Promise<string | null>, what: string): Promise<void> {
  const found = await fault;
  demand(found === null, `${what}: ${found}`);
}
