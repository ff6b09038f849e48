export interface StaticServer {
  /** Of the root, with a slash at its end. */
  url: string;
  port: number;
  close(): Promise<void>;
}

export function startStaticServer(options: {
  /** Folder by URL prefix; each prefix begins and ends with a slash, and the longest that matches wins. */
  mounts: Readonly<Record<string, string>>;
  /** 0, the default: any free one. */
  port?: number;
  /** Default: this machine only. */
  host?: string;
}): Promise<StaticServer>;

export function parseRange(
  header: string | undefined,
  byteLength: number,
): { start: number; end: number } | 'whole' | 'unsatisfiable';
