/** Repositories of a hub that lists its files as Hugging Face does. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { type HubFile, type HubServer, startHubServer } from '../../../tests/tools/hub-server.ts';
import { createMlcFolder } from '../../../tests/tools/mlc-folder.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { createTinyMistralGguf } from '../../../tests/tools/tiny-mistral.ts';
import { MemoryWeightStore } from '../../storage/weight-store.ts';
import type { ImportSource } from '../api.ts';
import { StoreModelManager } from '../model-manager.ts';

const bytes = createTinyMistralGguf();
const gguf = (path: string): HubFile => ({ path, byteLength: bytes.byteLength, sha256: 'a'.repeat(64) });
const README: HubFile = { path: 'README.md', byteLength: 100 };
const MANY: HubFile[] = [
  README,
  gguf('m-Q2_K.gguf'),
  gguf('m-Q4_0.gguf'),
  gguf('m-Q8_0.gguf'),
  gguf('BF16/m-BF16-00001-of-00002.gguf'),
  gguf('BF16/m-BF16-00002-of-00002.gguf'),
  gguf('mmproj-F16.gguf'),
  gguf('m.imatrix.gguf'),
];
const mlc = createMlcFolder();

let hub: HubServer;
let server: HostileServer;

beforeAll(async () => {
  hub = await startHubServer(
    new Map<string, HubFile[]>([
      ['o/many', MANY],
      ['o/one', [README, gguf('tiny.gguf'), gguf('mmproj.gguf')]],
      ['o/large', Array.from({ length: 2500 }, (_, index) => ({ path: `x${index}.txt`, byteLength: 1 }))],
      ['o/raw', [README, { path: 'model-00001-of-00002.safetensors', byteLength: 9 }]],
      ['o/mlc', Array.from(mlc.files, ([path, contents]) => ({ path, byteLength: contents.byteLength }))],
      ['o/odd', [gguf('a?b-Q4_0.gguf'), gguf('m-Q8_0.gguf')]],
    ]),
    { base: '/hub/', pageFiles: 3, renamed: new Map([['o/before', 'o/one']]) },
  );
  server = await startHostileServer(
    new Map([
      ['/hub/o/many/resolve/main/m-Q4_0.gguf', bytes],
      ['/hub/o/one/resolve/main/tiny.gguf', bytes],
      ['/hub/o/before/resolve/main/tiny.gguf', bytes],
      ...Array.from(mlc.files, ([name, contents]): [string, Uint8Array] => [
        `/hub/o/mlc/resolve/main/${name}`,
        contents,
      ]),
    ]),
    { elsewhere: hub.url },
  );
});
afterAll(async () => {
  await server.close();
  await hub.close();
});
beforeEach(() => {
  hub.requests.length = 0;
  hub.refusals.clear();
});

function create(): StoreModelManager {
  const download = { clock: createTestClock(), hub: `${server.url}hub/` };
  return new StoreModelManager({ store: new MemoryWeightStore(), download });
}
const at = (address: string): ImportSource => ({ kind: 'address', address });
const list = (address: string) => create().listBuilds(at(address));
const inspect = (address: string) => create().inspectSource(at(address));

const TREE = '/hub/api/models/o/many/tree/main';

describe('the builds of a repository', () => {
  test('are listed over all pages, splits as one, with what their names tell', async () => {
    const length = bytes.byteLength;
    const build = (name: string, quantization: string, runs: boolean, fileCount = 1) => ({
      source: at(`hf:o/many/${name}@main`),
      ...{ name, quantization, runs, fileCount, byteLength: fileCount * length },
    });
    expect(await list('hf:o/many')).toEqual({
      repository: 'o/many',
      missing: null,
      builds: [
        build('m-Q2_K.gguf', 'Q2_K', false),
        build('m-Q4_0.gguf', 'Q4_0', true),
        build('m-Q8_0.gguf', 'Q8_0', true),
        build('BF16/m-BF16-00001-of-00002.gguf', 'BF16', true, 2),
      ],
    });
    expect(hub.requests).toEqual([
      `${TREE}?recursive=true`,
      `${TREE}?recursive=true&cursor=3`,
      `${TREE}?recursive=true&cursor=6`,
    ]);
  });

  test('of a folder of it, of a quantization, and where there is none such', async () => {
    const names = async (address: string) => {
      const found = await list(address);
      return [found?.missing, ...(found?.builds ?? []).map(({ name }) => name)];
    };
    expect(await names('hf:o/many/BF16/')).toEqual([null, 'BF16/m-BF16-00001-of-00002.gguf']);
    expect(await names('hf:o/many:q8_0')).toEqual([null, 'm-Q8_0.gguf']);
    expect(await names('hf:o/many:Q5_K_M')).toHaveLength(5);
    expect((await names('hf:o/many:Q5_K_M'))[0]).toBe('Q5_K_M');
    // One that no address can name is not offered.
    expect(await names('hf:o/odd')).toEqual([null, 'm-Q8_0.gguf']);
  });

  test('a pasted page of the hub, and a name that the repository had before', async () => {
    expect(await list(`${server.url}hub/o/many/tree/main`)).toMatchObject({ repository: 'o/many' });
    expect(await list('hf:o/before')).toMatchObject({ builds: [{ name: 'tiny.gguf' }] });
    expect(await inspect('hf:o/before')).toMatchObject({ source: { name: 'tiny.gguf' } });
  });

  test('nothing is asked where nothing is left to choose', async () => {
    expect(await list('hf:o/many/m-Q4_0.gguf')).toBeNull();
    expect(await list(`${server.url}tiny.gguf`)).toBeNull();
    expect(await create().listBuilds({ kind: 'files', files: [] })).toBeNull();
    const library = { ...at('hf:o/mlc'), libraryUrl: 'https://a.example/m.wasm' } as ImportSource;
    expect(await create().listBuilds(library)).toBeNull();
    expect(hub.requests).toEqual([]);
    expect(await list('hf:o/mlc')).toBeNull();
  });
});

describe('an address of a repository is that of', () => {
  test('its only GGUF', async () => {
    expect(await inspect('hf:o/one')).toMatchObject({
      layout: 'gguf',
      source: { name: 'tiny.gguf', url: `${server.url}hub/o/one/resolve/main/tiny.gguf` },
    });
  });

  test('the GGUF of the quantization that it names', async () => {
    const manager = create();
    expect(await manager.importModel(at('hf:o/many:q4_0@main'))).toMatchObject({
      source: { name: 'm-Q4_0.gguf', url: `${server.url}hub/o/many/resolve/main/m-Q4_0.gguf` },
    });
  });

  test('a file whose SHA-256 the hub lists: it is recorded, and nothing is lost where it is not listed', async () => {
    const manager = create();
    const sha256 = 'a'.repeat(64);
    for (const address of [
      'hf:o/one/tiny.gguf',
      'hf:o/one',
      `${server.url}hub/o/one/resolve/main/tiny.gguf?download=true`,
    ]) {
      expect(await manager.inspectSource(at(address)), address).toMatchObject({ sourceSha256: sha256 });
    }
    const { id } = await manager.importModel(at('hf:o/one'));
    const { contents } = await manager.exportModel(id);
    expect(await contents.text()).toContain(`"sha256":"${sha256}"`);
    hub.requests.length = 0;
    const path = '/hub/api/models/o/one/tree/main';
    hub.refusals.set(path, (response) => response.writeHead(503).end());
    expect(await inspect('hf:o/one/tiny.gguf')).toMatchObject({ sourceSha256: null });
    expect(hub.requests).toEqual([`${path}?recursive=false`]);
  });

  test('its model in MLC’s layout, without a look at the list', async () => {
    expect(await inspect('hf:o/mlc')).toMatchObject({ layout: 'mlc' });
    expect(hub.requests).toEqual([]);
  });

  test.each([
    [
      'hf:o/many',
      /o\/many has 4 builds: m-Q2_K\.gguf \(.* kB\), m-Q4_0/,
      'hf:o/many:Q4_0, or hf:o/many/m-Q4_0.gguf@main',
      4,
    ],
    ['hf:o/many:m', /o\/many has 4 builds m:/, 'hf:o/many/m-Q4_0.gguf@main', 4],
    ['hf:o/many:Q5_K_M', /has no build Q5_K_M\. There are m-Q2_K/, 'hf:o/many:Q4_0, or', 4],
  ])('%s: no one GGUF, and says which there are', async (address, message, nextStep, count) => {
    const error = await inspect(address).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({
      code: 'address-ambiguous',
      message: expect.stringMatching(message),
      nextStep: expect.stringContaining(nextStep),
      data: { files: expect.arrayContaining(['m-Q8_0.gguf']) },
    });
    expect((error as { data: { files: string[] } }).data.files).toHaveLength(count);
  });
});

describe('a hub that does not list', () => {
  const refuse = (status: number, headers = {}, body = '') =>
    hub.refusals.set(TREE, (response) => response.writeHead(status, headers).end(body));
  const json = (value: unknown, headers = {}) => refuse(200, headers, JSON.stringify(value));
  const expectError = async (code: string, message: RegExp, nextStep: RegExp = /./) => {
    for (const failing of [list('hf:o/many'), inspect('hf:o/many')]) {
      await expect(failing).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
        nextStep: expect.stringMatching(nextStep),
      });
    }
  };

  test('since there is no such repository, revision or folder', async () => {
    await expect(list('hf:o/none')).rejects.toMatchObject({
      code: 'download-failed',
      message: expect.stringMatching(/has no o\/none, or not for everybody \(401\)/),
      nextStep: expect.stringMatching(/Check the name/),
      data: { status: 401 },
    });
    await expect(list('hf:o/many@v9')).rejects.toMatchObject({
      message: expect.stringMatching(/has no o\/many at v9.*404/),
    });
    await expect(list('hf:o/many/none/')).rejects.toMatchObject({
      message: expect.stringMatching(/has no o\/many\/none,/),
    });
  });

  test('to everybody', async () => {
    refuse(403, { 'x-error-code': 'GatedRepo' });
    await expectError('download-failed', /not for everybody \(403\)/, /with your(s| account)/);
  });

  test('for a while: it is asked again, as late as it says', async () => {
    let refusals = 0;
    hub.refusals.set(TREE, (response) => {
      if (++refusals === 2) hub.refusals.delete(TREE);
      response.writeHead(429, { 'retry-after': '7' }).end();
    });
    const clock = createTestClock();
    const manager = new StoreModelManager({
      store: new MemoryWeightStore(),
      download: { clock, hub: `${server.url}hub/` },
    });
    const startMs = clock.now();
    expect(await manager.listBuilds(at('hf:o/many'))).toMatchObject({ repository: 'o/many' });
    expect(clock.now() - startMs).toBeGreaterThanOrEqual(14_000);
    refuse(429);
    await expectError('download-failed', /too many requests.*429/, /five minutes/);
    refuse(503);
    await expectError('download-failed', /503/, /try again later/);
  });

  test('what can be read as a list', async () => {
    refuse(200, {}, '<!doctype html>');
    await expectError('config-invalid', /not JSON/, /address of the file itself/);
    json({ error: 'no' });
    await expectError('config-invalid', /no list/);
    for (const entry of [null, 'm.gguf', { type: 'file' }, { type: 'file', path: 7, size: 1 }]) {
      json([entry]);
      await expectError('config-invalid', /the list of files of o\/many/);
    }
    for (const size of [-1, 1.5, '9', 2 ** 60]) {
      json([{ type: 'file', path: 'm.gguf', size }]);
      await expectError('config-invalid', /size/);
    }
  });

  test('an end', async () => {
    json([], { link: `<${server.url.slice(0, -1)}${TREE}?recursive=true>; rel="next"` });
    await expectError('config-invalid', /goes on at/);
    json([], { link: '<https://elsewhere.example/list>; rel="next"' });
    await expectError('config-invalid', /goes on at https:\/\/elsewhere\.example\/list/);
    let page = 0;
    hub.refusals.set(TREE, (response) =>
      response.writeHead(200, { link: `<?page=${page++}>; rel="next"` }).end('[]'),
    );
    await expectError('config-invalid', /lists more than/);
    await expect(list('hf:o/large')).rejects.toMatchObject({ code: 'config-invalid' });
  });

  test('any GGUF', async () => {
    await expect(list('hf:o/raw')).rejects.toMatchObject({
      code: 'format-unsupported',
      message: 'o/raw has no GGUF file, only safetensors.',
      nextStep: expect.stringContaining('as GGUF'),
    });
    await expect(inspect('hf:o/raw')).rejects.toMatchObject({ code: 'format-unsupported' });
  });

  test('and other links than the next one are none to follow', async () => {
    json([{ type: 'file', path: 'm.gguf', size: 1 }], { link: '<https://a.example/>; rel="prev", garbage' });
    expect(await list('hf:o/many')).toMatchObject({ builds: [{ name: 'm.gguf', quantization: null }] });
  });
});
