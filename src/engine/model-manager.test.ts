/** The manager over a store in memory, with files as a browser hands them over. */
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { writeGguf } from '../../tests/tools/gguf-writer.ts';
import { MemorySink } from '../../tests/tools/memory-sink.ts';
import { splitGguf } from '../../tests/tools/split-gguf.ts';
import { createTinyMistralGguf } from '../../tests/tools/tiny-mistral.ts';
import { isTramontaneError } from '../base/errors.ts';
import { memorySource } from '../formats/byte-source.ts';
import { parseGguf } from '../formats/gguf/parse-gguf.ts';
import { parseCatalogue } from '../models/catalogue.ts';
import { parseModelFiles } from '../models/model-files.ts';
import { withModelFiles, withModelLock } from '../storage/model-lock.ts';
import { MemoryWeightStore } from '../storage/weight-store.ts';
import type { ImportSource, Progress } from './api.ts';
import { importGguf } from './import/import-model.ts';
import { StoreModelManager } from './model-manager.ts';

const LIMITS = { maxRecordBytes: 64 << 10, maxShardBytes: 100 << 10 };
const ID = 'tiny-mistral-f16';
const MODIFIED = 1_700_000_000_000;

let bytes: Uint8Array<ArrayBuffer>;
/** What an import into a folder writes. */
let expected: MemorySink;

beforeAll(async () => {
  bytes = createTinyMistralGguf();
  expected = new MemorySink();
  await importGguf(memorySource(bytes), expected, { ...LIMITS, origin: { sourceName: 'tiny.gguf' } });
});

/** A file whose reads can be counted, and made to fail. */
class CountedFile extends File {
  read = 0;
  onRead: (end: number) => void = () => {};

  override slice(start = 0, end = this.size): Blob {
    this.read += end - start;
    this.onRead(end);
    return super.slice(start, end);
  }
}

function file(contents = bytes, name = 'tiny.gguf', lastModified = MODIFIED): CountedFile {
  return new CountedFile([contents], name, { lastModified });
}

const from = (...files: File[]): ImportSource => ({ kind: 'files', files });

function create(): { manager: StoreModelManager; store: MemoryWeightStore } {
  const store = new MemoryWeightStore();
  return { manager: new StoreModelManager({ store, limits: LIMITS }), store };
}

async function expectStored(store: MemoryWeightStore, id = ID): Promise<void> {
  const model = await store.readModel(id);
  const shards = [...expected.files.keys()].filter((name) => name.startsWith('params'));
  expect(model?.files.map(({ name }) => name)).toEqual(shards);
  for (const { name, storedName } of model!.files) {
    const stored = new Uint8Array(await (await store.readFile(id, storedName))!.arrayBuffer());
    expect(Buffer.compare(stored, expected.files.get(name)!), name).toBe(0);
  }
  const json = async (name: string) => JSON.parse(await (await store.readFile(id, name))!.text());
  parseModelFiles(await json('mlc-chat-config.json'), await json('tensor-cache.json'));
}

/** Imports until about half of the shards are stored. */
async function interrupt(manager: StoreModelManager, source: ImportSource): Promise<void> {
  const controller = new AbortController();
  const reason = new DOMException('Stop.', 'AbortError');
  const importing = manager.importModel(source, {
    signal: controller.signal,
    onProgress: ({ bytes: done, totalBytes }) => done > totalBytes / 2 && controller.abort(reason),
  });
  await expect(importing).rejects.toBe(reason);
}

describe('a look at a source', () => {
  test('tells what is known from its header, and writes nothing', async () => {
    const { manager, store } = create();
    const source = file();
    expect(await manager.inspectSource(from(source))).toMatchObject({
      id: ID,
      layout: 'gguf',
      name: 'Tiny Mistral',
      maxContextLength: 2048,
      layerCount: 3,
      template: 'mistral-v11',
      temperature: 0.15,
      licence: 'apache-2.0',
      source: { name: 'tiny.gguf', url: null },
      resumes: null,
      obstructs: null,
      replaces: null,
    });
    const preview = await manager.inspectSource(from(source));
    const byType = preview.formats.reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(byType).toBe(preview.sourceBytes);
    expect(preview.formats[0]?.type).toBe('F16');
    expect(preview.kvBytesPerToken).toBeGreaterThan(0);
    expect(await store.listPending()).toEqual([]);
    expect(await store.listFiles(ID)).toEqual([]);
  });

  test('finds an interrupted import of the same source, one of another, and what would be replaced', async () => {
    const { manager } = create();
    await interrupt(manager, from(file()));
    const same = await manager.inspectSource(from(file()));
    expect(same).toMatchObject({ resumes: { id: ID, name: 'Tiny Mistral' }, obstructs: null });
    expect(same.resumes!.doneBytes).toBeGreaterThan(0);
    expect(same.resumes!.doneBytes).toBeLessThan(same.resumes!.totalBytes);
    const other = await manager.inspectSource(from(file(bytes, 'tiny.gguf', MODIFIED + 1)));
    expect(other).toMatchObject({ resumes: null, obstructs: { id: ID } });
    await manager.importModel(from(file()));
    expect(await manager.inspectSource(from(file()))).toMatchObject({
      resumes: null,
      obstructs: null,
      replaces: { id: ID },
    });
  });

  test.each<[string, File[], string]>([
    ['nothing', [], 'format-invalid'],
    ['no model', [new File(['a'], 'a.txt'), new File(['b'], 'b.txt')], 'format-invalid'],
    ['an empty file', [new File([], 'm.gguf')], 'format-invalid'],
    ['a text', [new File(['What a wonderful day'], 'notes')], 'format-invalid'],
  ])('refuses %s', async (_, files, code) => {
    await expect(create().manager.inspectSource(from(...files))).rejects.toMatchObject({
      code,
      nextStep: expect.any(String),
    });
  });

  test('a file that cannot be read any more is said to have changed', async () => {
    const gone = file();
    gone.slice = () =>
      ({ arrayBuffer: () => Promise.reject(new DOMException('Gone.', 'NotReadableError')) }) as Blob;
    await expect(create().manager.inspectSource(from(gone))).rejects.toMatchObject({
      code: 'source-changed',
    });
  });
});

describe('an import', () => {
  test('stores what an import into a folder writes, and tells of it', async () => {
    const { manager, store } = create();
    const progress: Progress[] = [];
    const info = await manager.importModel(from(file()), {
      contextLength: 512,
      onProgress: (reading) => progress.push(reading),
    });
    expect(info).toMatchObject({
      id: ID,
      name: 'Tiny Mistral',
      quantization: 'F16',
      contextLength: 512,
      maxContextLength: 2048,
      source: { name: 'tiny.gguf', url: null },
    });
    await expectStored(store);
    expect(await manager.listStoredModels()).toEqual([info]);
    expect(await manager.listPendingModels()).toEqual([]);
    expect(progress.at(-1)).toMatchObject({ phase: 'import', bytes: progress[0]?.totalBytes });
  });

  test('of splits, in any order and among other files, stores the same', async () => {
    const { manager, store } = create();
    const splits = (await splitGguf(bytes, 'tiny', 3)).map(({ name, bytes: part }) => file(part, name));
    await manager.importModel(from(splits[2]!, new File(['x'], 'README.md'), splits[0]!, splits[1]!));
    await expectStored(store);
    expect((await store.readModel(ID))?.source.name).toBe('tiny-00001-of-00003.gguf');
  });

  test('goes on where it was interrupted: finished shards are not read again', async () => {
    const { manager, store } = create();
    const first = file();
    await interrupt(manager, from(first));
    const [pending] = await manager.listPendingModels();
    expect(pending).toMatchObject({ id: ID, source: { name: 'tiny.gguf', url: null } });
    expect(pending!.doneBytes).toBeGreaterThan(0);
    const stored = await store.listFiles(ID);
    expect(stored.length).toBeGreaterThan(0);

    const again = file();
    const progress: Progress[] = [];
    await manager.importModel(from(again), { onProgress: (reading) => progress.push(reading) });
    await expectStored(store);
    const header = again.read - (pending!.totalBytes - pending!.doneBytes);
    const whole = file();
    await create().manager.importModel(from(whole));
    expect(whole.read - pending!.totalBytes).toBe(header);
    expect(progress[0]!.bytes).toBeGreaterThan(pending!.doneBytes);
    expect(await manager.listPendingModels()).toEqual([]);
  });

  test('in pieces, each cut off within a shard, comes to an end', async () => {
    const { manager, store } = create();
    let attempts = 0;
    for (let done = false; !done; attempts++) {
      expect(attempts).toBeLessThan(50);
      const source = file();
      const controller = new AbortController();
      let reads = 0;
      // Enough for a shard and a half.
      source.onRead = () => {
        if (++reads > 12) controller.abort();
      };
      try {
        await manager.importModel(from(source), { signal: controller.signal });
        done = true;
      } catch (error) {
        expect(error).toMatchObject({ name: 'AbortError' });
      }
    }
    expect(attempts).toBeGreaterThan(3);
    await expectStored(store);
  });

  test('of another source is refused while one is pending under its name, until that is given up', async () => {
    const { manager, store } = create();
    await interrupt(manager, from(file()));
    const changed = from(file(bytes, 'tiny.gguf', MODIFIED + 1));
    await expect(manager.importModel(changed)).rejects.toMatchObject({
      code: 'source-changed',
      nextStep: expect.any(String),
    });
    expect(await manager.listPendingModels()).toHaveLength(1);
    await manager.importModel(changed, { restart: true });
    await expectStored(store);
    expect(await manager.listPendingModels()).toEqual([]);
  });

  test('replaces an older build only when it is whole', async () => {
    const { manager, store } = create();
    const older = createTinyMistralGguf(undefined, 'mixed');
    // Another norm makes another build of the same name.
    older.set(bytes.subarray(bytes.byteLength - 8, bytes.byteLength - 4), bytes.byteLength - 4);
    await manager.importModel(from(file(older)));
    const before = await store.readModel(ID);
    const newer = from(file(bytes, 'tiny.gguf', MODIFIED + 1));
    await interrupt(manager, newer);
    expect(await store.readModel(ID)).toEqual(before);
    for (const { storedName } of before!.files) expect(await store.readFile(ID, storedName)).not.toBeNull();
    expect((await manager.verifyModel(ID)).damaged).toEqual([]);
    await manager.importModel(newer);
    await expectStored(store);
    const listed = (await store.readModel(ID))!;
    expect((await store.listFiles(ID)).sort()).toEqual(
      [...listed.files, ...listed.smallFiles].map(({ storedName }) => storedName).sort(),
    );
  });

  test('of a model that is stored already reads no weights', async () => {
    const { manager, store } = create();
    await manager.importModel(from(file()));
    const again = file();
    const inspected = file();
    await manager.inspectSource(from(inspected));
    expect(await manager.importModel(from(again), { contextLength: 256 })).toMatchObject({
      contextLength: 256,
    });
    expect(again.read).toBe(inspected.read);
    await expectStored(store);
  });

  test('is refused while another tab writes the model', async () => {
    const { manager } = create();
    await withModelLock(ID, {}, async () => {
      await expect(manager.importModel(from(file()))).rejects.toMatchObject({ code: 'model-busy' });
      await expect(manager.deleteModel(ID)).rejects.toMatchObject({ code: 'model-busy' });
    });
    await manager.importModel(from(file()));
  });

  test('keeps what is stored when the store fails, and goes on later', async () => {
    const { manager, store } = create();
    const write = store.writePending.bind(store);
    let writes = 0;
    store.writePending = async (...input) => {
      if (++writes === 3) throw new Error('disk full');
      return write(...input);
    };
    await expect(manager.importModel(from(file()))).rejects.toThrow('disk full');
    expect((await store.readPending(ID))?.shards).toHaveLength(2);
    await manager.importModel(from(file()));
    await expectStored(store);
  });

  test('ends when the manager is disposed of', async () => {
    const { manager } = create();
    const importing = manager.importModel(from(file()));
    await manager.dispose();
    await expect(importing).rejects.toSatisfy(
      (error) => isTramontaneError(error) && error.code === 'engine-failed',
    );
  });
});

describe('a stored model', () => {
  test('is verified against what was stored', async () => {
    const { manager, store } = create();
    await manager.importModel(from(file()));
    const model = (await store.readModel(ID))!;
    const read: Progress[] = [];
    const report = await manager.verifyModel(ID, { onProgress: (progress) => read.push(progress) });
    expect(report).toMatchObject({ files: model.files.length + 3, damaged: [] });
    expect(read.at(-1)?.bytes).toBe(report.byteLength);

    const [missing, altered, short] = model.files.map(({ storedName }) => storedName);
    const readFile = store.readFile.bind(store);
    store.readFile = async (id, name) => {
      const blob = await readFile(id, name);
      if (blob === null || name === missing) return null;
      if (name === short) return blob.slice(1);
      if (name !== altered) return blob;
      const contents = new Uint8Array(await blob.arrayBuffer());
      contents[7]! ^= 1;
      return new Blob([contents]);
    };
    expect((await manager.verifyModel(ID)).damaged).toEqual(model.files.slice(0, 3).map(({ name }) => name));
    await expect(manager.verifyModel('other')).rejects.toMatchObject({ code: 'model-unknown' });
    await expect(manager.verifyModel(ID, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      name: 'AbortError',
    });
  });

  test('is not taken for damaged because of one read that failed', async () => {
    const { manager, store } = create();
    await manager.importModel(from(file()));
    const readFile = store.readFile.bind(store);
    let reads = 0;
    store.readFile = async (id, name) => {
      const blob = await readFile(id, name);
      if (++reads === 3) {
        vi.spyOn(blob!, 'arrayBuffer').mockRejectedValueOnce(new DOMException('Busy.', 'NotReadableError'));
      }
      return blob;
    };
    expect((await manager.verifyModel(ID)).damaged).toEqual([]);
    expect(await manager.listStoredModels()).toHaveLength(1);
  });

  test('is exported as a folder, with an entry for a site', async () => {
    const { manager, store } = create();
    const info = await manager.importModel(from(file()));
    const { name, contents } = await manager.exportModel(ID);
    expect(name).toBe(`${ID}.tar`);
    const files = readTar(new Uint8Array(await contents.arrayBuffer()));
    const model = (await store.readModel(ID))!;
    for (const shard of model.files) {
      expect(Buffer.compare(files.get(`${ID}/${shard.name}`)!, expected.files.get(shard.name)!)).toBe(0);
    }
    const json = (path: string) => JSON.parse(new TextDecoder().decode(files.get(`${ID}/${path}`)));
    parseModelFiles(json('mlc-chat-config.json'), json('tensor-cache.json'));
    expect(files.has(`${ID}/tokenizer.json`)).toBe(true);

    // What the file does not tell is for the host to fill in.
    const card = { ...json('model-card.json'), sourceUrl: 'https://a.example/' };
    expect(
      parseCatalogue({ version: 2, models: [card] }, 'https://b.example/models/models.json'),
    ).toMatchObject([
      {
        id: ID,
        byteLength: info.byteLength,
        template: 'mistral-v11',
        temperature: 0.15,
        source: { kind: 'site', url: `https://b.example/models/${ID}/` },
      },
    ]);
    await expect(manager.exportModel('other')).rejects.toMatchObject({ code: 'model-unknown' });
  });

  test('of a long name is exported, too', async () => {
    const { manager } = create();
    const { metadata, tensors } = await parseGguf(memorySource(bytes));
    const named = writeGguf({
      metadata: [...new Map([...metadata, ['general.name', { type: 'string', value: 'long '.repeat(30) }]])],
      tensors: tensors.map(({ name, type, dimensions, offsetBytes, byteLength }) => ({
        ...{ name, type, dimensions: [...dimensions] },
        bytes: bytes.subarray(offsetBytes, offsetBytes + byteLength),
      })),
    });
    const { id } = await manager.importModel(from(file(named)));
    expect(id).toHaveLength(83);
    const { contents } = await manager.exportModel(id);
    expect(readTar(new Uint8Array(await contents.arrayBuffer())).has(`${id}/mlc-chat-config.json`)).toBe(
      true,
    );
  });

  test('stays whole where an interrupted import of the same name is discarded', async () => {
    const { manager, store } = create();
    const older = bytes.slice();
    // Weights throughout: no shard is the same.
    const { dataOffsetBytes } = await parseGguf(memorySource(bytes));
    for (let offset = dataOffsetBytes; offset < older.byteLength; offset += 4096) older[offset]! ^= 1;
    await manager.importModel(from(file(older)));
    const before = (await store.readModel(ID))!;
    const files = (await store.listFiles(ID)).sort();
    await interrupt(manager, from(file(bytes, 'tiny.gguf', MODIFIED + 1)));
    expect((await store.listFiles(ID)).length).toBeGreaterThan(files.length);
    await withModelFiles(ID, undefined, async () => {
      await expect(manager.discardPendingModel(ID)).rejects.toMatchObject({ code: 'model-busy' });
    });
    await manager.discardPendingModel(ID);
    expect(await manager.listPendingModels()).toEqual([]);
    expect(await store.readModel(ID)).toEqual(before);
    expect((await store.listFiles(ID)).sort()).toEqual(files);
    expect((await manager.verifyModel(ID)).damaged).toEqual([]);
  });

  test('that is damaged, and given up, leaves nothing behind', async () => {
    const { manager, store } = create();
    await manager.importModel(from(file()));
    await store.dropFiles(ID, [(await store.readModel(ID))!.files[0]!.storedName]);
    await manager.discardPendingModel(ID);
    expect(await manager.listPendingModels()).toEqual([]);
    expect(await store.listFiles(ID)).toEqual([]);
  });

  test('is deleted, whole and pending, unless it is being read', async () => {
    const { manager, store } = create();
    await manager.importModel(from(file()));
    await withModelFiles(ID, undefined, async () => {
      await expect(manager.deleteModel(ID)).rejects.toMatchObject({ code: 'model-busy' });
    });
    await manager.deleteModel(ID);
    expect(await store.listFiles(ID)).toEqual([]);
    await interrupt(manager, from(file()));
    await manager.deleteModel(ID);
    expect(await manager.listPendingModels()).toEqual([]);
    expect(await store.listFiles(ID)).toEqual([]);
  });
});

function readTar(archive: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (let offset = 0; archive[offset] !== 0; ) {
    const text = (from: number, length: number) =>
      new TextDecoder().decode(archive.subarray(offset + from, offset + from + length)).replace(/\0.*$/s, '');
    const byteLength = Number.parseInt(text(124, 12), 8);
    const prefix = text(345, 155);
    files.set(
      `${prefix}${prefix && '/'}${text(0, 100)}`,
      archive.subarray(offset + 512, offset + 512 + byteLength),
    );
    offset += 512 + Math.ceil(byteLength / 512) * 512;
  }
  return files;
}
