import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Fault, type HostileServer, startHostileServer } from '../../../tests/tools/hostile-server.ts';
import { createRandom } from '../../../tests/tools/random.ts';
import { createTestClock } from '../../../tests/tools/test-clock.ts';
import { headBytesFor, joinRemoteFiles, openRemoteFile, partAt } from './remote-file.ts';

const PATH = '/model.gguf';
/** As much as comes with the first answer, and more. */
const HEAD_BYTES = 1 << 20;
const LENGTH = HEAD_BYTES + 300_000;
const random = createRandom(7);
const contents = Uint8Array.from({ length: LENGTH }, () => random() * 256);

let server: HostileServer;
let url: string;

beforeEach(async () => {
  server = await startHostileServer(
    new Map([
      [PATH, contents],
      ['/small.gguf', contents.subarray(0, 100)],
      ['/empty.gguf', new Uint8Array(0)],
    ]),
  );
  url = new URL(PATH, server.url).href;
});

afterEach(() => server.close());

const options = (clock = createTestClock()) => ({ clock });
const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

test('reads ranges; the beginning comes with the first answer', async () => {
  const file = await openRemoteFile(url, options());
  expect(file).toMatchObject({ byteLength: LENGTH, url, etag: expect.stringMatching(/^"/) });
  expect(equal(await file.read(0, 1000), contents.slice(0, 1000))).toBe(true);
  expect(server.answers).toHaveLength(1);
  expect(equal(await file.read(HEAD_BYTES - 10, 20), contents.slice(HEAD_BYTES - 10, HEAD_BYTES + 10))).toBe(
    true,
  );
  expect(server.answers.at(-1)).toMatchObject({ offset: HEAD_BYTES, sentBytes: 10, status: 206 });
  expect(equal(await file.read(LENGTH - 5, 5), contents.slice(-5))).toBe(true);
  expect((await file.read(LENGTH, 0)).byteLength).toBe(0);
  await expect(file.read(LENGTH - 5, 6)).rejects.toMatchObject({ code: 'format-invalid' });
});

test('beginnings of many files together take no more memory than those of a few', () => {
  expect(headBytesFor(1)).toBe(HEAD_BYTES);
  for (let files = 1; files <= 1024; files++)
    expect(files * headBytesFor(files)).toBeLessThanOrEqual(32 << 20);
});

test('files shorter than the first range, and empty ones', async () => {
  const small = await openRemoteFile(new URL('small.gguf', server.url).href, options());
  expect(equal(await small.read(0, 100), contents.slice(0, 100))).toBe(true);
  expect((await openRemoteFile(new URL('empty.gguf', server.url).href, options())).byteLength).toBe(0);
});

const passing: [string, Partial<Fault>[]][] = [
  ['is cut', [{ kind: 'cut' }]],
  ['is cut three times', [{ kind: 'cut', times: 3 }]],
  ['is reset', [{ kind: 'reset' }]],
  ['ends early', [{ kind: 'short', at: 0.9 }]],
  ['stalls', [{ kind: 'stall' }]],
  ['drips', [{ kind: 'drip' }]],
  ['is too long', [{ kind: 'long' }]],
  ['is busy', [{ kind: 'status', status: 503, retryAfter: '3' }]],
  ['is too busy, then cut', [{ kind: 'status', status: 429 }, { kind: 'cut' }]],
  ['leads elsewhere', [{ kind: 'redirect', times: 9 }]],
];

test.each(passing)('a range whose answer %s is received whole', async (_what, faults) => {
  const clock = createTestClock();
  const stalls = faults.some(({ kind }) => kind === 'stall' || kind === 'drip');
  const file = await openRemoteFile(url, { ...options(clock), ...(stalls && { stallMs: 300 }) });
  server.setFaults(faults.map((fault) => ({ kind: 'cut', path: PATH, ...fault })));
  expect(equal(await file.read(HEAD_BYTES, 300_000), contents.slice(HEAD_BYTES))).toBe(true);
  if (faults[0]?.retryAfter !== undefined) expect(clock.waits[0]).toBeGreaterThanOrEqual(3000);
});

test('an answer that does not tell the state that it was opened in is refused: nothing else would judge its bytes', async () => {
  const file = await openRemoteFile(url, options());
  server.setFaults([{ kind: 'no-state', path: PATH, after: 1 }]);
  await file.read(HEAD_BYTES, 100);
  await expect(file.read(HEAD_BYTES, 100)).rejects.toMatchObject({ code: 'source-changed' });
});

test('after a cut it goes on at the byte', async () => {
  const file = await openRemoteFile(url, options());
  server.setFaults([{ kind: 'cut', path: PATH, times: 2, at: 0.6 }]);
  server.answers.length = 0;
  await file.read(HEAD_BYTES, 300_000);
  // What is on its way while a connection breaks may be lost.
  expect(server.sentBytes()).toBeLessThan(300_000 + 2 * (64 << 10));
  expect(server.answers.map(({ status }) => status)).toEqual([206, 206, 206]);
  expect(server.answers[1]?.offset).toBeGreaterThan(HEAD_BYTES);
});

test('the first answer may break off, too', async () => {
  server.setFaults([
    { kind: 'status', path: PATH, status: 500 },
    { kind: 'cut', path: PATH, at: 0.3 },
  ]);
  const file = await openRemoteFile(url, options());
  expect(equal(await file.read(0, LENGTH), contents)).toBe(true);
});

const final: [string, Partial<Fault>, string][] = [
  ['sends whole files', { kind: 'no-range' }, 'range-unsupported'],
  ['sends another range', { kind: 'wrong-range' }, 'range-unsupported'],
  ['has another file by now', { kind: 'changed' }, 'source-changed'],
  ['has a shorter file by now', { kind: 'changed', contents: new Uint8Array(5) }, 'source-changed'],
  ['has no such file any more', { kind: 'status', status: 404 }, 'download-failed'],
  ['wants a password', { kind: 'status', status: 401 }, 'download-failed'],
  ['stays busy', { kind: 'status', status: 503, times: 99 }, 'download-failed'],
  ['is cut at once, always', { kind: 'cut', at: 0, times: 99 }, 'download-failed'],
];

test.each(final)('a server that %s is an error that says so', async (_what, fault, code) => {
  const file = await openRemoteFile(url, options());
  server.setFaults([{ kind: 'cut', path: PATH, ...fault }]);
  await expect(file.read(HEAD_BYTES, 300_000)).rejects.toMatchObject({ code, nextStep: expect.any(String) });
});

test.each<[string, Partial<Fault>, string]>([
  ['sends whole files', { kind: 'no-range' }, 'range-unsupported'],
  ['has no such file', { kind: 'status', status: 404 }, 'download-failed'],
  ['stays busy', { kind: 'status', status: 503, times: 99 }, 'download-failed'],
])('opening: a server that %s', async (_what, fault, code) => {
  server.setFaults([{ kind: 'cut', path: PATH, ...fault }]);
  await expect(openRemoteFile(url, options())).rejects.toMatchObject({ code });
});

test('an address that nobody answers', async () => {
  await server.close();
  await expect(openRemoteFile(url, options())).rejects.toMatchObject({
    code: 'download-failed',
    message: expect.stringContaining('Cannot reach'),
  });
  await server.reopen();
});

test('an abort ends a range at once, and what was received stays', async () => {
  const file = await openRemoteFile(url, options());
  server.setFaults([{ kind: 'stall', path: PATH, at: 0.5 }]);
  const controller = new AbortController();
  const part = partAt(HEAD_BYTES, 200_000);
  const reason = new Error('stop');
  const receiving = file.receive(part, controller.signal, () => {
    if (part.received >= 90_000) setTimeout(() => controller.abort(reason));
  });
  await expect(receiving).rejects.toBe(reason);
  expect(part.received).toBeGreaterThanOrEqual(90_000);
  expect(
    equal(part.bytes.subarray(0, part.received), contents.subarray(HEAD_BYTES, HEAD_BYTES + part.received)),
  ).toBe(true);
});

test('splits read as one file', async () => {
  const files = await Promise.all(
    ['small.gguf', 'model.gguf', 'small.gguf'].map((name) =>
      openRemoteFile(new URL(name, server.url).href, options()),
    ),
  );
  const joined = joinRemoteFiles(files);
  expect(joined.byteLength).toBe(LENGTH + 200);
  const part = partAt(50, LENGTH + 100);
  await joined.receive(part);
  expect(part.received).toBe(LENGTH + 100);
  expect(equal(part.bytes.subarray(0, 50), contents.subarray(50, 100))).toBe(true);
  expect(equal(part.bytes.subarray(50, 50 + LENGTH), contents)).toBe(true);
  expect(equal(part.bytes.subarray(50 + LENGTH), contents.subarray(0, 50))).toBe(true);
});
