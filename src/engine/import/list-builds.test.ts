/** Repositories of a hub that lists its files as Hugging Face does. */
import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { type HubFile, type HubServer, startHubServer } from '../../../tests/tools/hub-server.ts';
import { createMlcFolder } from '../../../tests/tools/mlc-folder.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { createTinyMistralGguf } from '../../../tests/tools/tiny-mistral.ts';
import { CONFIG_FILE, parseModelFiles, TENSOR_CACHE_FILE } from '../../models/model-files.ts';
import { MemoryWeightStore } from '../../storage/weight-store.ts';
import type { ImportSource } from '../api.ts';
import { StoreModelManager } from '../model-manager.ts';

const bytes = createTinyMistralGguf();
const gguf = (path: string): HubFile => ({ path, byteLength: bytes.byteLength, sha256: 'a'.repeat(64) });
const listed = (byteLength: number) => ({
  type: 'file',
  path: 'tiny.gguf',
  size: 130,
  lfs: { oid: 'b'.repeat(64), size: byteLength },
});
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
      ['o/plain', [gguf('m--a.gguf'), gguf('b.gguf')]],
      ['o/stale', [gguf('m-Q4_0.gguf'), { path: 'mlc-chat-config.json', byteLength: 100 }]],
      ['o/odd', [gguf('a?b-Q4_0.gguf'), gguf('m-Q8_0.gguf')]],
    ]),
    { base: '/hub/', pageFiles: 3, renamed: new Map([['o/before', 'o/one']]) },
  );
  server = await startHostileServer(
    new Map([
      ['/hub/o/many/resolve/main/m-Q4_0.gguf', bytes],
      ['/hub/o/one/resolve/main/tiny.gguf', bytes],
      ['/hub/o/before/resolve/main/tiny.gguf', bytes],
      ['/hub/o/stale/resolve/main/m-Q4_0.gguf', bytes],
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

function create(store = new MemoryWeightStore()): StoreModelManager {
  const download = { clock: createTestClock(), hub: `${server.url}hub/` };
  return new StoreModelManager({ store, download });
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

  test('a file whose SHA-256 the hub lists: it is recorded as listed, not as the file’s own', async () => {
    const store = new MemoryWeightStore();
    const manager = create(store);
    const listedSha256 = 'a'.repeat(64);
    for (const address of [
      'hf:o/one/tiny.gguf',
      'hf:o/one',
      `${server.url}hub/o/one/resolve/main/tiny.gguf?download=true`,
    ]) {
      expect(await manager.inspectSource(at(address)), address).toMatchObject({ listedSha256 });
    }
    const { id } = await manager.importModel(at('hf:o/one'));
    const { smallFiles } = (await store.readModel(id))!;
    const read = async (name: string) => {
      const { storedName } = smallFiles.find((file) => file.name === name)!;
      return JSON.parse(await (await store.readFile(id, storedName))!.text());
    };
    const { origin } = parseModelFiles(await read(CONFIG_FILE), await read(TENSOR_CACHE_FILE));
    expect(origin).toMatchObject({ sha256: null, listedSha256 });
  });

  test('a file whose SHA-256 cannot be had, from one page and at once: nothing is lost', async () => {
    const path = '/hub/api/models/o/one/tree/main';
    const answers: Record<string, (response: ServerResponse) => void> = {
      refused: (response) => response.writeHead(503).end(),
      'no list': (response) => response.end('<!doctype html>'),
      'of another length': (response) => response.end(JSON.stringify([listed(bytes.byteLength + 1)])),
      'on another page': (response) => response.writeHead(200, { link: '<?page=2>; rel="next"' }).end('[]'),
    };
    for (const [name, answer] of Object.entries(answers)) {
      hub.requests.length = 0;
      hub.refusals.set(path, answer);
      expect(await inspect('hf:o/one/tiny.gguf'), name).toMatchObject({ listedSha256: null });
      expect(hub.requests, name).toEqual([`${path}?recursive=false`]);
    }
    hub.refusals.set(path, (response) => response.end(JSON.stringify([listed(bytes.byteLength)])));
    expect(await inspect('hf:o/one/tiny.gguf')).toMatchObject({ listedSha256: 'b'.repeat(64) });
  });

  test('a file, which a hub that never ends its list holds up for seconds only, and not at all once aborted', async () => {
    const open: ServerResponse[] = [];
    hub.refusals.set('/hub/api/models/o/one/tree/main', (response) => {
      open.push(response);
      const timer = setInterval(() => response.write(' '.repeat(2048)), 100);
      response.on('close', () => clearInterval(timer));
    });
    const aborting = new AbortController();
    const aborted = create().inspectSource(at('hf:o/one/tiny.gguf'), { signal: aborting.signal });
    const refusal = expect(aborted).rejects.toThrow('enough');
    await vi.waitFor(() => expect(open).toHaveLength(1));
    aborting.abort(new Error('enough'));
    await refusal;
    const startMs = performance.now();
    expect(await inspect('hf:o/one/tiny.gguf')).toMatchObject({ listedSha256: null });
    expect(performance.now() - startMs).toBeLessThan(10_000);
    for (const response of open) response.destroy();
  }, 20_000);

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

  test('several, of no quantization that a name tells: the address to give is that of a file', async () => {
    await expect(inspect('hf:o/plain')).rejects.toMatchObject({
      code: 'address-ambiguous',
      nextStep: 'Name one of them: hf:o/plain/m--a.gguf@main.',
    });
  });

  test('a model in MLC’s layout that is listed, and not there', async () => {
    expect(await list('hf:o/stale')).toBeNull();
    await expect(inspect('hf:o/stale')).rejects.toMatchObject({
      code: 'config-invalid',
      message: 'stale has no mlc-chat-config.json.',
    });
    expect(await inspect('hf:o/stale:Q4_0')).toMatchObject({ source: { name: 'm-Q4_0.gguf' } });
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
