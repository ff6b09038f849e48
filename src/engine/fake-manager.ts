/**
 * A model manager without a weight store: it inspects, imports, verifies and deletes by script, and fails on demand. The
 * tests and designers of the import and storage pages use it (`?engine=fake`, see {@link fakeManagerOptionsFromUrl}).
 * What it holds is forgotten with the page.
 */
import { delay } from '../base/abort.ts';
import { type ErrorCode, TramontaneError } from '../base/errors.ts';
import type { OriginStorage } from '../storage/quota.ts';
import type {
  AdapterReport,
  BuildList,
  CallOptions,
  GpuMemoryProbe,
  ImportModelOptions,
  ImportPreview,
  ImportSource,
  LoadCallOptions,
  ModelManager,
  PendingModelInfo,
  SourceBuild,
  StoredModelInfo,
  VerifyReport,
} from './api.ts';
import { type FakeAdapter, fakeAdapter, numberParameter, playTransfer } from './fake-parts.ts';
import { parseAddress } from './import/address.ts';

export interface FakeManagerOptions {
  adapter: FakeAdapter;
  inspectMs: number;
  importMs: number;
  verifyMs: number;
  /** Fails with this code, at this point, this many times. */
  fail: ErrorCode | null;
  /** `begin`: before an import changes anything. `list`: a look at what is stored. */
  failAt: 'list-builds' | 'inspect' | 'begin' | 'import' | 'verify' | 'delete' | 'list';
  failCount: number;
  /** Of GPU memory. */
  grantedBytes: number;
  /** Which models are stored: none; a site's, an imported one and a prebuilt one. */
  models: 'none' | 'some';
  /**
   * An interrupted import: of an address, or of a file; or of another address under the same name. `site`: the download
   * of a model of this site.
   */
  pending: 'none' | 'address' | 'file' | 'other' | 'site';
  /** What a repository offers, whatever its address. */
  builds: 'one' | 'many';
  /** What verifying finds damaged. */
  damaged: readonly string[];
}

const GIB = 2 ** 30;

const defaults: FakeManagerOptions = {
  adapter: 'good',
  inspectMs: 300,
  importMs: 3000,
  verifyMs: 1200,
  fail: null,
  failAt: 'import',
  failCount: 1,
  grantedBytes: 22 * GIB,
  models: 'none',
  pending: 'none',
  builds: 'many',
  damaged: [],
};

/**
 * Reads `?adapter= &inspect-ms= &import-ms= &verify-ms= &fail= &at= &fail-count= &granted=GiB &models=some
 * &pending=address|file|other|site &builds=one|many &damaged=`.
 */
export function fakeManagerOptionsFromUrl(parameters: URLSearchParams): Partial<FakeManagerOptions> {
  const granted = numberParameter(parameters, 'granted');
  const options: Record<string, unknown> = {
    adapter: parameters.get('adapter') ?? undefined,
    inspectMs: numberParameter(parameters, 'inspect-ms'),
    importMs: numberParameter(parameters, 'import-ms'),
    verifyMs: numberParameter(parameters, 'verify-ms'),
    fail: parameters.get('fail') ?? undefined,
    failAt: parameters.get('at') ?? undefined,
    failCount: numberParameter(parameters, 'fail-count'),
    grantedBytes: granted === undefined ? undefined : granted * GIB,
    models: parameters.get('models') ?? undefined,
    pending: parameters.get('pending') ?? undefined,
    builds: parameters.get('builds') ?? undefined,
    damaged: parameters.has('damaged') ? ['params_shard_17.bin', 'params_shard_18.bin'] : undefined,
  };
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** Storage of a size of one's own: `?free=` and `?used=` in GB, `?persisted`. */
export function fakeStorageFromUrl(parameters: URLSearchParams): OriginStorage {
  const usedBytes = (numberParameter(parameters, 'used') ?? 0) * 1e9;
  const freeBytes = (numberParameter(parameters, 'free') ?? 312) * 1e9;
  let persisted = parameters.has('persisted');
  return {
    estimate: async () => ({ usedBytes, quotaBytes: usedBytes + freeBytes }),
    isPersisted: async () => persisted,
    requestPersistence: async () => {
      persisted = !parameters.has('refuse-persistence');
      return persisted;
    },
  };
}

const CHAT_TEMPLATE = [
  "{%- if messages[0]['role'] == 'system' %}",
  "{%- set system = messages[0]['content'] %}",
  '{%- endif %}',
  ...Array.from({ length: 24 }, (_, index) => `{#- line ${index + 1} of a template that nobody knows -#}`),
  '{%- for message in messages %}{{ raise_exception("unknown") }}{%- endfor %}',
].join('\n');

const problems: Partial<
  Record<ErrorCode, { message: string; nextStep: string; data?: Record<string, string> }>
> = {
  'download-failed': {
    message: 'The host stopped answering at 7.2 of 14.3 GB, and did not answer 6 more times.',
    nextStep: 'Try again: what is stored is kept, and the import goes on where it ended.',
  },
  'storage-quota': {
    message: 'There is no room left to store params_shard_63.bin.',
    nextStep: 'Free disk space, or delete a stored model, and import again: what is stored already is kept.',
  },
  'template-unsupported': {
    message: "The model's chat template is none that is known here (ChatML, Mistral v3, v7, v11).",
    nextStep: 'Choose a build of this model with one of these templates.',
    data: { chatTemplate: CHAT_TEMPLATE },
  },
  'format-unsupported': {
    message: '160 tensors are stored as IQ2_XXS (the first is "blk.0.ffn_down.weight").',
    nextStep: 'Choose a build in Q4_K_M, Q4_0 or another format of the list in docs/formats.md.',
  },
  'address-invalid': {
    message: '"model" is not an address.',
    nextStep: 'Give an address such as https://host/model.gguf or hf:owner/repo/model.gguf.',
  },
  'model-busy': {
    message: 'Another tab is writing this model.',
    nextStep: 'Wait for it, or close the other tab.',
  },
};

const MISTRAL_SMALL = {
  name: 'Mistral Small 3.2 24B Instruct 2506',
  quantization: 'Q4_K_M',
  parameterCount: 23_572_403_200,
  maxContextLength: 131_072,
  kvBytesPerToken: 163_840,
  layerCount: 40,
  licence: 'apache-2.0',
  library: null,
};
const FILE_COUNT = 113;
const STORED_BYTES = 14_326_098_432;
const FILE_NAME = 'Mistral-Small-3.2-24B-Instruct-2506-Q4_K_M.gguf';
const FILE_URL = `https://huggingface.co/lmstudio-community/Mistral-Small-3.2-24B-Instruct-2506-GGUF/resolve/main/${FILE_NAME}`;
const LISTED_SHA256 = '1f1fe1c8b2e0a4f3'.repeat(4);
const ID = 'mistral-small-3.2-24b-instruct-2506-q4_k_m';

/** As a publisher of Mistral Small offers it: quantization, bytes, files, whether it runs. */
const BUILDS: readonly [quantization: string, byteLength: number, fileCount: number, runs: boolean | null][] =
  [
    ['BF16', 47_153_517_600, 2, true],
    ['IQ2_XXS', 6_545_000_000, 1, false],
    ['IQ3_M', 10_650_000_000, 1, false],
    ['IQ4_XS', 12_758_912_640, 1, true],
    ['Q2_K', 8_890_000_000, 1, false],
    ['Q3_K_M', 11_474_081_920, 1, false],
    ['Q4_0', 13_441_800_320, 1, true],
    ['Q4_K_M', 14_333_909_120, 1, true],
    ['Q5_K_M', 16_763_983_360, 1, true],
    ['Q6_K', 19_345_938_560, 1, true],
    ['Q8_0', 25_054_779_520, 1, true],
    ['UD-Q4_K_XL', 14_541_381_760, 1, null],
  ];
const REPOSITORY = 'bartowski/mistralai_Mistral-Small-3.2-24B-Instruct-2506-GGUF';

function fakeBuild([quantization, byteLength, fileCount, runs]: (typeof BUILDS)[number]): SourceBuild {
  const split = fileCount > 1 ? `-00001-of-${String(fileCount).padStart(5, '0')}` : '';
  const name = `mistralai_Mistral-Small-3.2-24B-Instruct-2506-${quantization}${split}.gguf`;
  const address = `hf:${REPOSITORY}/${name}@main`;
  return { source: { kind: 'address', address }, name, quantization, byteLength, fileCount, runs };
}

const SITE_MODEL: StoredModelInfo = {
  id: 'smollm2-135m-instruct',
  name: 'SmolLM2 135M Instruct',
  quantization: 'Q4_1',
  parameterCount: 134_515_008,
  byteLength: 96_576_768,
  contextLength: 8192,
  maxContextLength: 8192,
  kvBytesPerToken: 23_040,
  layerCount: 30,
  licence: 'Apache-2.0',
  library: null,
  source: { name: 'smollm2-135m-instruct', url: 'https://example.org/models/smollm2-135m-instruct/' },
  storedAt: 0,
};

const PENDING_SOURCES = {
  address: { kind: 'import', name: FILE_NAME, url: FILE_URL },
  file: { kind: 'import', name: FILE_NAME, url: null },
  other: { kind: 'import', name: 'earlier.gguf', url: 'https://example.org/earlier.gguf' },
} as const;

function storedModels(): StoredModelInfo[] {
  const storedAt = Date.UTC(2026, 9, 28, 9, 30);
  const day = 86_400_000;
  return [
    {
      id: ID,
      ...MISTRAL_SMALL,
      byteLength: STORED_BYTES,
      contextLength: 8192,
      source: { name: FILE_NAME, url: FILE_URL },
      storedAt,
    },
    {
      id: 'ministral-3-3b',
      name: 'Ministral 3 3B',
      quantization: 'q4f16_1',
      parameterCount: null,
      byteLength: 1_928_816_064,
      contextLength: 4096,
      maxContextLength: null,
      kvBytesPerToken: null,
      layerCount: null,
      licence: null,
      library: { needsShaderF16: true },
      source: { name: 'Ministral-3-3B-Instruct-2512-BF16-q4f16_1-MLC', url: null },
      storedAt: storedAt - 9 * day,
    },
    { ...SITE_MODEL, storedAt: storedAt - 20 * day },
  ];
}

export function createFakeManager(options: Partial<FakeManagerOptions> = {}): ModelManager {
  return new FakeManager({ ...defaults, ...options });
}

class FakeManager implements ModelManager {
  readonly #options: FakeManagerOptions;
  readonly #stored = new Map<string, StoredModelInfo>();
  readonly #pending = new Map<string, PendingModelInfo>();
  #failuresLeft: number;

  constructor(options: FakeManagerOptions) {
    this.#options = options;
    this.#failuresLeft = options.fail === null ? 0 : options.failCount;
    if (options.models === 'some') for (const model of storedModels()) this.#stored.set(model.id, model);
    if (options.pending === 'site') {
      this.#interrupt(SITE_MODEL, 40_000_000);
    } else if (options.pending !== 'none') {
      this.#pending.set(ID, {
        id: ID,
        name: MISTRAL_SMALL.name,
        source: PENDING_SOURCES[options.pending],
        doneBytes: 7_147_483_648,
        totalBytes: STORED_BYTES,
        updatedAt: Date.now() - 5_400_000,
      });
    }
  }

  async getAdapter(): Promise<AdapterReport | null> {
    return fakeAdapter(this.#options.adapter);
  }

  async listBuilds(source: ImportSource, { signal }: CallOptions = {}): Promise<BuildList | null> {
    if (source.kind === 'files' || source.libraryUrl !== undefined) return null;
    const { repository } = parseAddress(source.address);
    if (repository === null) return null;
    await delay(this.#options.inspectMs, signal);
    this.#failIfDue('list-builds');
    const all = BUILDS.map(fakeBuild);
    const { tag } = repository;
    const wanted = all.filter(({ quantization }) => tag === null || quantization === tag.toUpperCase());
    const builds = wanted.length === 0 ? all : wanted;
    return {
      repository: REPOSITORY,
      missing: wanted.length === 0 ? tag : null,
      builds: this.#options.builds === 'one' ? builds.slice(0, 1) : builds,
    };
  }

  async inspectSource(source: ImportSource, { signal }: CallOptions = {}): Promise<ImportPreview> {
    await delay(this.#options.inspectMs, signal);
    this.#failIfDue('inspect');
    const name = source.kind === 'files' ? (source.files[0]?.name ?? FILE_NAME) : FILE_NAME;
    const pending = this.#pending.get(ID) ?? null;
    const url = source.kind === 'files' ? null : FILE_URL;
    const isSame = pending?.source.name === name && pending.source.url === url;
    return {
      id: ID,
      layout: 'gguf',
      ...MISTRAL_SMALL,
      sourceBytes: 14_326_097_920,
      storedBytes: STORED_BYTES,
      template: 'mistral-v11',
      temperature: 0.15,
      source: { name, url },
      listedSha256: url === null ? null : LISTED_SHA256,
      formats: [
        { type: 'Q4_K', byteLength: 11_634_524_160 },
        { type: 'Q6_K', byteLength: 2_689_931_264 },
        { type: 'F32', byteLength: 1_642_496 },
      ],
      resumes: isSame ? pending : null,
      obstructs: isSame ? null : pending,
      replaces: this.#stored.get(ID) ?? null,
    };
  }

  async importModel(source: ImportSource, options: ImportModelOptions = {}): Promise<StoredModelInfo> {
    const preview = await this.inspectSource(source, options);
    const { id, storedBytes: totalBytes } = preview;
    this.#failIfDue('begin');
    if (preview.obstructs !== null) {
      if (options.restart !== true) {
        throw new TramontaneError(
          'source-changed',
          `An import of ${preview.obstructs.source.name} is pending.`,
        );
      }
      this.#pending.delete(id);
    }
    let doneBytes = this.#pending.get(id)?.doneBytes ?? 0;
    try {
      await playTransfer(
        { phase: 'import', totalBytes, startBytes: doneBytes, durationMs: this.#options.importMs },
        {
          signal: options.signal,
          onProgress: (progress) => {
            doneBytes = progress.bytes;
            options.onProgress?.(progress);
            if (doneBytes > totalBytes / 2) this.#failIfDue('import');
          },
        },
      );
    } catch (error) {
      const { name } = preview;
      this.#pending.set(id, {
        id,
        name,
        source: { kind: 'import', ...preview.source },
        doneBytes,
        totalBytes,
        updatedAt: Date.now(),
      });
      throw error;
    }
    this.#pending.delete(id);
    const stored: StoredModelInfo = {
      id,
      ...MISTRAL_SMALL,
      byteLength: totalBytes,
      contextLength: options.contextLength ?? 8192,
      source: preview.source,
      storedAt: Date.now(),
    };
    this.#stored.set(id, stored);
    return stored;
  }

  async listStoredModels(): Promise<StoredModelInfo[]> {
    this.#failIfDue('list');
    return [...this.#stored.values()];
  }

  async listPendingModels(): Promise<PendingModelInfo[]> {
    return [...this.#pending.values()];
  }

  async verifyModel(id: string, options: LoadCallOptions = {}): Promise<VerifyReport> {
    const model = this.#require(id);
    const { byteLength } = model;
    await playTransfer(
      { phase: 'read', totalBytes: byteLength, durationMs: this.#options.verifyMs },
      { signal: options.signal, onProgress: options.onProgress },
    );
    this.#failIfDue('verify');
    const { damaged } = this.#options;
    // What is damaged is dropped: without it, the model is not whole.
    if (damaged.length > 0) {
      this.#stored.delete(id);
      this.#interrupt(model, byteLength - Math.round((byteLength * damaged.length) / FILE_COUNT));
    }
    return { files: FILE_COUNT, byteLength, damaged };
  }

  async exportModel(id: string): Promise<{ name: string; contents: Blob }> {
    return { name: `${this.#require(id).id}.tar`, contents: new Blob(['a scripted archive']) };
  }

  async deleteModel(id: string): Promise<void> {
    this.#failIfDue('delete');
    this.#stored.delete(id);
    this.#pending.delete(id);
  }

  async discardPendingModel(id: string): Promise<void> {
    this.#failIfDue('delete');
    this.#pending.delete(id);
  }

  async probeGpuMemory(wantedBytes: number, { signal }: CallOptions = {}): Promise<GpuMemoryProbe> {
    await delay(this.#options.inspectMs, signal);
    return { wantedBytes, grantedBytes: Math.min(wantedBytes, this.#options.grantedBytes) };
  }

  async dispose(): Promise<void> {
    this.#stored.clear();
    this.#pending.clear();
  }

  #interrupt({ id, name, source, byteLength }: StoredModelInfo, doneBytes: number): void {
    const kind = id === SITE_MODEL.id ? 'site' : 'import';
    this.#pending.set(id, {
      ...{ id, name, doneBytes, totalBytes: byteLength, updatedAt: Date.now() },
      source: { kind, ...source },
    });
  }

  #require(id: string): StoredModelInfo {
    const model = this.#stored.get(id);
    if (model !== undefined) return model;
    throw new TramontaneError('model-unknown', `There is no stored model "${id}".`, { data: { id } });
  }

  #failIfDue(at: FakeManagerOptions['failAt']): void {
    const { fail, failAt } = this.#options;
    if (fail === null || failAt !== at || this.#failuresLeft <= 0) return;
    this.#failuresLeft -= 1;
    const problem = problems[fail];
    throw new TramontaneError(
      fail,
      problem?.message ?? `The fake manager failed with ${fail}, as it was told to.`,
      {
        ...(problem && { nextStep: problem.nextStep }),
        ...(problem?.data && { data: problem.data }),
      },
    );
  }
}
