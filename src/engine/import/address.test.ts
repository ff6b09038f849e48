import { describe, expect, test } from 'vitest';
import { hubFileAddress, parseAddress } from './address.ts';
import { formatSplitName, parseSplitName, splitUrls } from './split-names.ts';

const HF = 'https://huggingface.co/';

describe('addresses', () => {
  test.each([
    ['https://a.example/m.gguf', 'gguf', 'https://a.example/m.gguf', 'm.gguf'],
    [
      ' https://a.example/x/m%20n.gguf?key=1#part ',
      'gguf',
      'https://a.example/x/m%20n.gguf?key=1',
      'm n.gguf',
    ],
    ['https://a.example/download?id=7', 'gguf', 'https://a.example/download?id=7', 'download'],
    ['https://a.example/%E0%A4%A.gguf', 'gguf', 'https://a.example/%E0%A4%A.gguf', '%E0%A4%A.gguf'],
    ['https://a.example/models/tiny/', 'mlc', 'https://a.example/models/tiny/', 'tiny'],
    ['https://a.example', 'mlc', 'https://a.example/', 'a.example'],
    ['http://localhost:8080/m.gguf', 'gguf', 'http://localhost:8080/m.gguf', 'm.gguf'],
    ['http://127.0.0.1/m.gguf', 'gguf', 'http://127.0.0.1/m.gguf', 'm.gguf'],
    ['http://[::1]:9/m.gguf', 'gguf', 'http://[::1]:9/m.gguf', 'm.gguf'],
    ['hf:owner/repo/m.gguf', 'gguf', `${HF}owner/repo/resolve/main/m.gguf`, 'm.gguf'],
    ['HF:owner/repo.x/sub/m.GGUF', 'gguf', `${HF}owner/repo.x/resolve/main/sub/m.GGUF`, 'm.GGUF'],
    ['hf:owner/repo/a b+c.gguf@v1.0', 'gguf', `${HF}owner/repo/resolve/v1.0/a%20b%2Bc.gguf`, 'a b+c.gguf'],
    ['hf:o/r/m.gguf@refs/pr/1', 'gguf', `${HF}o/r/resolve/refs%2Fpr%2F1/m.gguf`, 'm.gguf'],
    ['hf:o/r/m@home.gguf@main', 'gguf', `${HF}o/r/resolve/main/m%40home.gguf`, 'm@home.gguf'],
    ['hf:owner/repo', 'mlc', `${HF}owner/repo/resolve/main/`, 'repo'],
    ['hf:owner/repo/', 'mlc', `${HF}owner/repo/resolve/main/`, 'repo'],
    ['hf:owner/repo@abc123', 'mlc', `${HF}owner/repo/resolve/abc123/`, 'repo'],
    ['hf:owner/repo/sub/folder/@dev', 'mlc', `${HF}owner/repo/resolve/dev/sub/folder/`, 'folder'],
    [`${HF}owner/repo/blob/main/sub/m.gguf`, 'gguf', `${HF}owner/repo/resolve/main/sub/m.gguf`, 'm.gguf'],
    [
      `${HF}owner/repo/resolve/main/m.gguf?download=true`,
      'gguf',
      `${HF}owner/repo/resolve/main/m.gguf?download=true`,
      'm.gguf',
    ],
    [`${HF}owner/repo/tree/main`, 'mlc', `${HF}owner/repo/resolve/main/`, 'repo'],
    [
      `${HF}owner/repo/blob/refs%2Fpr%2F1/a%20b.gguf`,
      'gguf',
      `${HF}owner/repo/resolve/refs%2Fpr%2F1/a%20b.gguf`,
      'a b.gguf',
    ],
    [`${HF}docs/hub/api/x.gguf`, 'gguf', `${HF}docs/hub/api/x.gguf`, 'x.gguf'],
    [`${HF}owner/repo/tree/main/sub`, 'mlc', `${HF}owner/repo/resolve/main/sub/`, 'sub'],
    ['https://hf.co/owner/repo/blob/main/m.gguf', 'gguf', `${HF}owner/repo/resolve/main/m.gguf`, 'm.gguf'],
    ['https://hf.co/owner/repo', 'mlc', `${HF}owner/repo/resolve/main/`, 'repo'],
    [`${HF}owner/repo`, 'mlc', `${HF}owner/repo/resolve/main/`, 'repo'],
  ])('%s', (text, layout, url, name) => {
    expect(parseAddress(text)).toMatchObject({ layout, url, name });
  });

  const repository = { hub: HF, owner: 'o', repo: 'r.x', revision: 'main', folders: [], tag: null };
  test.each<[string, object | null]>([
    ['hf:o/r.x', repository],
    ['hf:o/r.x/', repository],
    ['hf:o/r.x@v1', { ...repository, revision: 'v1' }],
    ['hf:o/r.x/a/b/', { ...repository, folders: ['a', 'b'] }],
    ['hf:o/r.x:Q4_K_M', { ...repository, tag: 'Q4_K_M' }],
    ['hf:o/r.x:UD-Q4_K_XL@refs/pr/1', { ...repository, tag: 'UD-Q4_K_XL', revision: 'refs/pr/1' }],
    ['hf:o/r.x:latest', repository],
    ['hf.co/o/r.x:Q4_K_M', { ...repository, tag: 'Q4_K_M' }],
    ['huggingface.co/o/r.x', repository],
    ['https://hf.co/o/r.x:Q8_0', { ...repository, tag: 'Q8_0' }],
    [`${HF}o/r.x?library=gguf#files`, repository],
    [`${HF}o/r.x/tree/refs%2Fpr%2F1`, { ...repository, revision: 'refs/pr/1' }],
    [`${HF}o/r.x/tree/main/a%20b`, { ...repository, folders: ['a b'] }],
    ['hf:o/r.x/m.gguf', null],
    [`${HF}o/r.x/blob/main/m.gguf`, null],
    [`${HF}o/r.x/discussions`, null],
    ['https://a.example/o/r.x/', null],
  ])('%s is a folder of the hub, or not', (text, expected) => {
    expect(parseAddress(text).repository).toEqual(expected);
  });

  test('a file of the hub is known as such, by whatever address', () => {
    const folder = { ...repository, folders: ['a b'] };
    const file = { folder, path: 'a b/m.gguf' };
    for (const address of [
      'hf:o/r.x/a b/m.gguf',
      `${HF}o/r.x/blob/main/a%20b/m.gguf`,
      `${HF}o/r.x/resolve/main/a%20b/m.gguf?download=true`,
    ]) {
      expect(parseAddress(address).hubFile, address).toEqual(file);
    }
    for (const address of [
      'hf:o/r.x',
      `${HF}o/r.x/resolve/main/`,
      'https://a.example/o/r/resolve/main/m.gguf',
    ]) {
      expect(parseAddress(address).hubFile, address).toBeNull();
    }
  });

  test('a file found in a repository has an address that leads to it, unless its name cannot be in one', () => {
    const folder = parseAddress('hf:o/r@refs/pr/1').repository!;
    const address = hubFileAddress(folder, 'a b/m@1:x.gguf')!;
    expect(parseAddress(address).url).toBe(`${HF}o/r/resolve/refs%2Fpr%2F1/a%20b/m%401%3Ax.gguf`);
    for (const path of ['../m.gguf', 'a//m.gguf', '/m.gguf', 'a?b.gguf', 'a\\b.gguf']) {
      expect(hubFileAddress(folder, path), path).toBeNull();
    }
  });

  test('hf: leads to another hub where one is given', () => {
    expect(parseAddress('hf:o/r/m.gguf', 'http://localhost:9/hub/').url).toBe(
      'http://localhost:9/hub/o/r/resolve/main/m.gguf',
    );
    expect(parseAddress('http://localhost:9/hub/o/r', 'http://localhost:9/hub/').url).toBe(
      'http://localhost:9/hub/o/r/resolve/main/',
    );
  });

  test.each([
    ['hf.co/o/r:Q4_K_M', 'o/r/resolve/main/', 'Q4_K_M'],
    ['huggingface.co/o/r', 'o/r/resolve/main/', null],
    ['https://hf.co/o/r/blob/main/m.gguf', 'o/r/resolve/main/m.gguf', undefined],
    [`${HF}o/r/tree/main/sub`, 'o/r/resolve/main/sub/', null],
    [`${HF}o/r/resolve/main/m.gguf?token=secret`, 'o/r/resolve/main/m.gguf', undefined],
    [`${HF}//elsewhere.example/m.gguf`, '//elsewhere.example/m.gguf', undefined],
  ])('%s leads to it, too', (address, path, tag) => {
    const mirror = 'https://mirror.example/hub/';
    const { url, repository, hubFile } = parseAddress(address, mirror);
    expect(url).toBe(mirror + path);
    expect(repository?.tag).toBe(tag);
    const folder = repository ?? hubFile?.folder;
    if (path.startsWith('o/')) expect(folder).toMatchObject({ hub: mirror, owner: 'o', repo: 'r' });
  });

  test('another port of that host is another server', () => {
    const { url, repository } = parseAddress('https://huggingface.co:8443/o/r/', 'https://mirror.example/');
    expect({ url, repository }).toEqual({ url: 'https://huggingface.co:8443/o/r/', repository: null });
  });

  test.each([
    '',
    'model.gguf',
    '/m.gguf',
    'http://a.example/m.gguf',
    'http://localhost.example/m.gguf',
    'ftp://a.example/m.gguf',
    'file:///m.gguf',
    'data:text/plain,GGUF',
    'javascript:alert(1)',
    'blob:https://a.example/1',
    'https://user:secret@a.example/m.gguf',
    'https://user@a.example/m.gguf',
    'hf:',
    'hf:owner',
    'hf:/repo/m.gguf',
    'hf:owner//m.gguf',
    'hf:-owner/repo/m.gguf',
    'hf:owner/re po/m.gguf',
    'hf:owner/repo/m.safetensors',
    'hf:owner/repo/folder',
    'hf:owner/repo/../m.gguf',
    'hf:owner/repo//m.gguf',
    'hf:owner/repo/a\\b.gguf',
    'hf:owner/repo/m?x.gguf',
    'hf:owner/repo/m.gguf@',
    'hf:owner/repo/m.gguf@../main',
    'hf:owner/repo/m.gguf@a//b',
    'hf:owner/repo/m.gguf@a b',
    'hf:owner/repo/m\u0000.gguf',
    'hf:owner/repo:',
    'hf:owner/repo:a:b',
    'hf:owner/repo:../x',
    'hf:owner/repo:Q4 K',
    'hf:owner/repo:Q4_K_M/m.gguf',
    `${HF}owner/repo/blob/main/README.md`,
  ])('%j is refused, saying what is allowed', (text) => {
    expect(() => parseAddress(text)).toThrow(
      expect.objectContaining({
        code: 'address-invalid',
        nextStep: expect.stringContaining('hf:owner/repo'),
      }),
    );
  });
});

describe('names of splits', () => {
  test('are read and written', () => {
    const name = 'Mistral-Small-3.2-00002-of-00003.gguf';
    expect(parseSplitName(name)).toEqual({ prefix: 'Mistral-Small-3.2', number: 1, count: 3 });
    expect(formatSplitName({ prefix: 'Mistral-Small-3.2', number: 1, count: 3 })).toBe(name);
  });

  test.each([
    'm.gguf',
    'm-1-of-3.gguf',
    'm-00004-of-00003.gguf',
    'm-00000-of-00003.gguf',
    'm-00001-of-00003.bin',
  ])('%s is none', (name) => expect(parseSplitName(name)).toBeNull());

  test('any split leads to all of them', () => {
    expect(splitUrls('https://a.example/x/m%20n-00002-of-00003.gguf?key=1')).toEqual([
      'https://a.example/x/m%20n-00001-of-00003.gguf?key=1',
      'https://a.example/x/m%20n-00002-of-00003.gguf?key=1',
      'https://a.example/x/m%20n-00003-of-00003.gguf?key=1',
    ]);
    expect(splitUrls('https://a.example/m.gguf?key=1')).toEqual(['https://a.example/m.gguf?key=1']);
  });
});
