import { afterEach, expect, test, vi } from 'vitest';
import { startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { createRandom } from '../../../tests/tools/random.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { fetchSmallFiles } from './small-files.ts';

const random = createRandom(9);
/** Comes in several chunks. */
const contents = Uint8Array.from({ length: 3 << 20 }, () => random() * 256);

afterEach(() => vi.restoreAllMocks());

test.each(['byob', 'default'])('files of many chunks arrive whole, read by a reader: %s', async (kind) => {
  const modes: string[] = [];
  const { getReader } = ReadableStream.prototype;
  vi.spyOn(ReadableStream.prototype, 'getReader').mockImplementation(function (
    this: ReadableStream,
    options?: ReadableStreamGetReaderOptions,
  ) {
    // As a browser says it whose bodies are no byte streams.
    if (kind === 'default' && options?.mode === 'byob') throw new TypeError('not a byte stream');
    modes.push(options?.mode ?? 'default');
    return getReader.call(this, options as undefined);
  });
  const server = await startHostileServer(new Map([['/a.json', contents]]));
  try {
    const urls = new Map([['a.json', new URL('/a.json', server.url).href]]);
    const files = await fetchSmallFiles(urls, { clock: createTestClock() });
    expect(Buffer.compare(new Uint8Array(files.get('a.json')!), contents)).toBe(0);
    expect(new Set(modes)).toEqual(new Set([kind]));
  } finally {
    await server.close();
  }
});
