/**
 * A file server that fails on demand: cut connections, refusals, redirects, wrong lengths, changed files, flipped bits.
 * It counts what it sends, so that a test can tell whether bytes that had arrived were asked for again.
 *
 * Two ports of this machine, and so two origins. Node's own modules only.
 */
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { parseRange } from '../../scripts/lib/static-server.mjs';

export type FaultKind =
  /** Ends the connection in the middle of the body: orderly, so that what was sent arrives. */
  | 'cut'
  /** The same with a reset: what was sent last may be lost. */
  | 'reset'
  /** Answers `status`, with `retryAfter` if given. */
  | 'status'
  /** Leads to the other origin. */
  | 'redirect'
  /** Sends whole files, whatever is asked for. */
  | 'no-range'
  /** Ends the body early, with a Content-Length that agrees. */
  | 'short'
  /** Sends more than was asked for. */
  | 'long'
  /** Sends another range than was asked for. */
  | 'wrong-range'
  /** From now on the file has another ETag: `contents` if given, other bytes if `altered`, or the same contents. */
  | 'changed'
  /** A byte now and then. */
  | 'drip'
  /** Sends a part and then nothing, without ending. */
  | 'stall'
  /** Does not tell the file's state. */
  | 'no-state'
  /** One bit of the body is not what it was. */
  | 'flip'
  /** Does not allow other origins to read. */
  | 'no-cors';

export interface Fault {
  kind: FaultKind;
  /** Of the file. */
  path: string;
  /** Requests for the file before it, since the faults were set. Default 0. */
  after?: number;
  /** Requests that suffer it. Default 1. */
  times?: number;
  /** How far into the body it happens, in [0, 1). Default 0.5. */
  at?: number;
  status?: number;
  retryAfter?: string;
  contents?: Uint8Array;
  altered?: boolean;
}

export interface ServedAnswer {
  path: string;
  method: string;
  status: number;
  /** Of the first byte sent, in the file. */
  offset: number;
  /** Bytes of the body that were sent. */
  sentBytes: number;
  fault: FaultKind | null;
  /** True where the bytes are not the file's first ones. */
  altered: boolean;
}

export interface HostileServer {
  /** With a slash at its end. */
  url: string;
  otherUrl: string;
  /** One entry an answer, in the order of their beginnings. */
  answers: ServedAnswer[];
  /** Bytes of bodies sent of a file, or of all. */
  sentBytes(path?: string): number;
  /** Sends nothing more once so many bytes of bodies were sent in all, until {@link HostileServer.release}. */
  holdAt(byteLength: number): void;
  release(): void;
  /** Also gives files their first contents back; those that changed keep their new ETags. */
  setFaults(faults: readonly Fault[]): void;
  /** Refuses connections, until {@link HostileServer.reopen}. */
  close(): Promise<void>;
  reopen(): Promise<void>;
}

export interface HostileServerOptions {
  /** Whether answers have an ETag, and of which kind. Default true, a strong one. */
  etags?: boolean | 'weak';
  /** Bytes written at once. Default 16 KiB. */
  chunkBytes?: number;
  /** Milliseconds to wait after each chunk. Default 0. */
  chunkMs?: number;
  /** Where requests for all other paths are answered, without being counted. Default: nowhere, with 404. */
  elsewhere?: string;
}

interface ServedFile {
  contents: Uint8Array;
  version: number;
}

const DRIP_MS = 20;

/** @param contents by path, which begins with a slash */
export async function startHostileServer(
  contents: ReadonlyMap<string, Uint8Array>,
  { etags = true, chunkBytes = 16 << 10, chunkMs = 0, elsewhere }: HostileServerOptions = {},
): Promise<HostileServer> {
  const files = new Map<string, ServedFile>();
  for (const [path, bytes] of contents) files.set(path, { contents: bytes, version: 1 });
  let faults: readonly Fault[] = [];
  /** By path, since the faults were set. */
  const requests = new Map<string, number>();
  const answers: ServedAnswer[] = [];
  const sentBytes = (path?: string) =>
    answers.reduce(
      (sum, answer) => sum + (path === undefined || answer.path === path ? answer.sentBytes : 0),
      0,
    );
  let hold: { byteLength: number; ended: Promise<void>; end(): void } | null = null;
  const release = () => {
    hold?.end();
    hold = null;
  };

  const takeFault = (path: string): Fault | null => {
    const index = requests.get(path) ?? 0;
    requests.set(path, index + 1);
    const isDue = ({ after = 0, times = 1 }: Fault) => index >= after && index < after + times;
    return faults.find((fault) => fault.path === path && isDue(fault)) ?? null;
  };

  const respond = async (request: IncomingMessage, response: ServerResponse, isOther: boolean) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const cors = {
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'content-range, etag',
    };
    if (elsewhere !== undefined && !files.has(path)) {
      forward(request, response, elsewhere);
      return;
    }
    const fault = request.method === 'GET' && !isOther ? takeFault(path) : null;
    const file = files.get(path);
    const answer: ServedAnswer = {
      path,
      method: request.method ?? '',
      status: 0,
      offset: 0,
      sentBytes: 0,
      fault: fault?.kind ?? null,
      altered: false,
    };
    answers.push(answer);
    if (request.method === 'OPTIONS') {
      // Nothing but simple requests.
      response.writeHead(403, cors).end();
      return;
    }
    const begin = (status: number, headers: Record<string, string | number>) => {
      answer.status = status;
      response.writeHead(status, { ...(fault?.kind === 'no-cors' ? {} : cors), ...headers });
      response.flushHeaders();
    };
    if (file === undefined || fault?.kind === 'status') {
      const retryAfter: Record<string, string> =
        fault?.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter };
      begin(fault?.status ?? 404, retryAfter);
      response.end();
      return;
    }
    if (fault?.kind === 'redirect') {
      begin(302, { location: new URL(path, origins[1]!.url).href });
      response.end();
      return;
    }
    if (fault?.kind === 'changed') {
      file.version++;
      file.contents = fault.altered === true ? file.contents.map((byte) => byte ^ 255) : file.contents;
      file.contents = fault.contents ?? file.contents;
    }
    const etag = `${etags === 'weak' ? 'W/' : ''}"${file.version}-${file.contents.byteLength}"`;
    const byteLength = file.contents.byteLength;
    const ifRange = request.headers['if-range'];
    const isRanged = fault?.kind !== 'no-range' && (ifRange === undefined || ifRange === etag);
    const range = isRanged ? parseRange(request.headers.range, byteLength) : 'whole';
    const state: Record<string, string> = etags && fault?.kind !== 'no-state' ? { etag } : {};
    if (range === 'unsatisfiable') {
      begin(416, { ...state, 'content-range': `bytes */${byteLength}` });
      response.end();
      return;
    }
    let { start, end } = range === 'whole' ? { start: 0, end: byteLength - 1 } : range;
    if (fault?.kind === 'wrong-range' && range !== 'whole') {
      const shift = start > 0 ? -1 : 1;
      [start, end] = [start + shift, Math.min(byteLength - 1, end + shift)];
    }
    let body = file.contents.subarray(start, end + 1);
    const stop = Math.floor(body.byteLength * (fault?.at ?? 0.5));
    if (fault?.kind === 'short') body = body.subarray(0, stop);
    if (fault?.kind === 'long') body = Buffer.concat([body, new Uint8Array(100)]);
    if (fault?.kind === 'flip' && body.byteLength > 0) {
      body = body.slice();
      body[stop]! ^= 1;
    }
    answer.offset = start;
    answer.altered = fault?.kind === 'flip' || file.contents !== contents.get(path);
    begin(range === 'whole' ? 200 : 206, {
      ...state,
      'content-type': 'application/octet-stream',
      'content-length': body.byteLength,
      ...(range === 'whole' ? {} : { 'content-range': `bytes ${start}-${end}/${byteLength}` }),
      ...(fault?.kind === 'no-range' ? {} : { 'accept-ranges': 'bytes' }),
    });
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    const ends = fault?.kind === 'cut' || fault?.kind === 'reset' || fault?.kind === 'stall';
    const sent = ends ? body.subarray(0, stop) : body;
    const step = fault?.kind === 'drip' ? 1 : chunkBytes;
    const pauseMs = fault?.kind === 'drip' ? DRIP_MS : chunkMs;
    for (let at = 0; at < sent.byteLength; at += step) {
      if (hold !== null && sentBytes() >= hold.byteLength) await hold.ended;
      if (response.destroyed) return;
      const chunk = sent.subarray(at, at + step);
      const failure = await new Promise((resolve) => response.write(chunk, resolve));
      if (failure) return;
      answer.sentBytes += chunk.byteLength;
      if (pauseMs > 0) await wait(pauseMs);
    }
    if (fault?.kind === 'stall') return;
    if (fault?.kind === 'reset') response.socket?.resetAndDestroy();
    else if (fault?.kind === 'cut') response.socket?.end();
    else response.end();
  };

  const origins = [false, true].map((isOther) => createOrigin((...args) => respond(...args, isOther)));
  for (const origin of origins) await origin.open();
  return {
    url: origins[0]!.url,
    otherUrl: origins[1]!.url,
    answers,
    sentBytes,
    holdAt(byteLength) {
      release();
      let end = () => {};
      const ended = new Promise<void>((resolve) => {
        end = resolve;
      });
      hold = { byteLength, ended, end };
    },
    release,
    setFaults(list) {
      faults = list;
      requests.clear();
      for (const [path, file] of files) file.contents = contents.get(path)!;
    },
    async close() {
      release();
      for (const origin of origins) await origin.close();
    },
    async reopen() {
      for (const origin of origins) await origin.open();
    },
  };
}

/** Has another server answer. */
export function forward(request: IncomingMessage, response: ServerResponse, to: string): void {
  const { pathname, search } = new URL(request.url ?? '/', 'http://localhost');
  const forwarded = httpRequest(new URL(pathname + search, to), { headers: request.headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  forwarded.on('error', (error) => response.destroy(error));
  forwarded.end();
}

type Respond = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** A port of this machine that can be closed and opened again. */
function createOrigin(respond: Respond) {
  let server: Server | null = null;
  let port = 0;
  return {
    get url() {
      return `http://127.0.0.1:${port}/`;
    },
    async open() {
      const opened = createServer((request, response) => {
        respond(request, response).catch((error) => response.destroy(error));
      });
      opened.keepAliveTimeout = 60_000;
      await new Promise<void>((done, failed) => {
        opened.once('error', failed);
        opened.listen(port, '127.0.0.1', done);
      });
      port = (opened.address() as AddressInfo).port;
      server = opened;
    },
    async close() {
      const closing = server;
      server = null;
      closing?.closeAllConnections();
      await new Promise<void>((done) => (closing === null ? done() : closing.close(() => done())));
    },
  };
}
