import { describe, expect, test } from 'vitest';
import { parseAddress } from './address.ts';
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
    [`${HF}owner/repo/tree/main`, 'mlc', `${HF}owner/repo/resolve/main/`, 'main'],
    [`${HF}owner/repo/tree/main/sub`, 'mlc', `${HF}owner/repo/resolve/main/sub/`, 'sub'],
    ['https://hf.co/owner/repo/blob/main/m.gguf', 'gguf', `${HF}owner/repo/resolve/main/m.gguf`, 'm.gguf'],
    ['https://hf.co/owner/repo', 'mlc', `${HF}owner/repo/resolve/main/`, 'repo'],
    [`${HF}owner/repo`, 'mlc', `${HF}owner/repo/resolve/main/`, 'repo'],
  ])('%s', (text, layout, url, name) => {
    expect(parseAddress(text)).toEqual({ layout, url, name });
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
