/**
 * A server that lists the files of repositories as Hugging Face does: pages with a Link header, redirects from names
 * that a repository had before, refusals. It serves no files: put it behind a file server (`elsewhere`).
 * Format: https://huggingface.co/docs/hub/api
 */
import { createHash } from 'node:crypto';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubFile {
  path: string;
  byteLength: number;
  /** In hex; files without one are listed as those that are in git itself. */
  sha256?: string;
}

export interface HubServer {
  /** Without the folder that the hub is in; with a slash at its end. */
  url: string;
  /** Path and query of each request. */
  requests: string[];
  /** Answers in place of the list, by path of the request; to be called for each request. */
  refusals: Map<string, (response: ServerResponse) => void>;
  close(): Promise<void>;
}

export interface HubServerOptions {
  /** Where the hub's addresses begin. Default `/`. */
  base?: string;
  /** Files of a page. Default 1000. */
  pageFiles?: number;
  /** New names by old ones. */
  renamed?: ReadonlyMap<string, string>;
  /** Whether other origins may read. Default true. */
  cors?: boolean;
}

const MISSING_REPOSITORY = 'Invalid username or password.';

/** @param repositories files by `owner/repo`, all at revision `main` */
export async function startHubServer(
  repositories: ReadonlyMap<string, readonly HubFile[]>,
  { base = '/', pageFiles = 1000, renamed = new Map(), cors = true }: HubServerOptions = {},
): Promise<HubServer> {
  const requests: string[] = [];
  const refusals: HubServer['refusals'] = new Map();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', `http://${request.headers.host}`);
    requests.push(url.pathname + url.search);
    if (cors) {
      response.setHeader('access-control-allow-origin', '*');
      response.setHeader('access-control-expose-headers', 'X-Error-Code,X-Error-Message,ETag,Link');
    }
    const refuse = refusals.get(url.pathname);
    if (refuse !== undefined) {
      refuse(response);
      return;
    }
    const refuseWith = (status: number, code: string, message: string) => {
      response.writeHead(status, { 'content-type': 'application/json', 'x-error-code': code });
      response.end(JSON.stringify({ error: message }));
    };
    const match = /^api\/models\/([^/]+\/[^/]+)\/tree\/([^/]+)(?:\/(.+))?$/.exec(
      url.pathname.startsWith(base) ? url.pathname.slice(base.length) : '',
    );
    if (match === null || request.method !== 'GET') {
      refuseWith(404, 'EntryNotFound', 'Not found');
      return;
    }
    const [, name = '', revision = '', folder] = match;
    const newName = renamed.get(name);
    if (newName !== undefined) {
      const location = url.pathname.replace(`/models/${name}/`, `/models/${newName}/`) + url.search;
      response.writeHead(307, { location }).end();
      return;
    }
    const files = repositories.get(name);
    if (files === undefined) refuseWith(401, 'RepoNotFound', MISSING_REPOSITORY);
    else if (decodeURIComponent(revision) !== 'main') {
      refuseWith(404, 'RevisionNotFound', `Invalid rev id: ${revision}`);
    } else {
      const isRecursive = url.searchParams.get('recursive') === 'true';
      const prefix = folder === undefined ? '' : `${decodeURIComponent(folder)}/`;
      const entries = listEntries(files, prefix, isRecursive);
      if (entries.length === 0) {
        refuseWith(404, 'EntryNotFound', `${folder} does not exist on "main"`);
        return;
      }
      const start = Number(url.searchParams.get('cursor') ?? 0);
      const next = new URL(url);
      next.searchParams.set('cursor', String(start + pageFiles));
      response.writeHead(200, {
        'content-type': 'application/json; charset=utf-8',
        ...(start + pageFiles < entries.length ? { link: `<${next.href}>; rel="next"` } : {}),
      });
      response.end(JSON.stringify(entries.slice(start, start + pageFiles)));
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests,
    refusals,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** Folders first, as the hub lists them. */
function listEntries(files: readonly HubFile[], prefix: string, isRecursive: boolean): object[] {
  const inside = files.filter(({ path }) => path.startsWith(prefix));
  const isDeep = (path: string) => path.slice(prefix.length).includes('/');
  const folders = new Set(
    inside.filter(({ path }) => isDeep(path)).map(({ path }) => path.slice(0, path.lastIndexOf('/'))),
  );
  return [
    ...[...folders].map((path) => ({ type: 'directory', oid: idOf(path), size: 0, path })),
    ...inside
      .filter(({ path }) => isRecursive || !isDeep(path))
      .map(({ path, byteLength, sha256 }) => ({
        type: 'file',
        oid: idOf(path),
        size: byteLength,
        ...(sha256 === undefined ? {} : { lfs: { oid: sha256, size: byteLength, pointerSize: 135 } }),
        path,
      })),
  ];
}

/** An id as git has them. */
function idOf(path: string): string {
  return createHash('sha1').update(path).digest('hex');
}
