/**
 * Prints what each page loads and fails the build when the chat page's app shell is over budget. The shell is what a
 * page loads before the engine: its HTML, and the JS and CSS that its entry imports statically, each file gzipped.
 */
import { gzipSync } from 'node:zlib';
import type { Plugin } from 'vite';

export interface SizeBudget {
  /** HTML file name of the page. */
  page: string;
  maxGzipBytes: number;
}

interface BundleFile {
  type: 'chunk' | 'asset';
  fileName: string;
  code?: string;
  source?: string | Uint8Array;
  imports?: string[];
}

const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`;

function gzipBytes(file: BundleFile): number {
  return gzipSync(file.code ?? file.source ?? '').byteLength;
}

/** The page and everything its HTML names, with the static imports of its scripts. */
function shellOf(page: string, bundle: Readonly<Record<string, BundleFile>>): Set<string> {
  const files = new Set<string>();
  const add = (name: string) => {
    const file = bundle[name];
    if (!file || files.has(name)) return;
    files.add(name);
    for (const imported of file.imports ?? []) add(imported);
  };
  const html = bundle[page];
  if (!html) throw new Error(`Size budget: the build has no page ${page}.`);
  add(page);
  for (const [, url] of String(html.source).matchAll(/(?:src|href)="\.\/([^"]+\.(?:js|css))"/g)) {
    if (url !== undefined) add(url);
  }
  return files;
}

export function sizeBudget(budgets: readonly SizeBudget[]): Plugin {
  return {
    name: 'tramontane-size-budget',
    apply: 'build',
    enforce: 'post',
    writeBundle: {
      order: 'post',
      handler(_options, output) {
        const bundle = output as unknown as Readonly<Record<string, BundleFile>>;
        for (const { page, maxGzipBytes } of budgets) {
          const files = shellOf(page, bundle);
          const total = [...files].reduce((sum, name) => sum + gzipBytes(bundle[name]!), 0);
          const verdict = `${page}: app shell ${kilobytes(total)} gzip in ${files.size} files, budget ${kilobytes(maxGzipBytes)}`;
          if (total > maxGzipBytes) {
            const list = [...files].map((name) => `  ${name}: ${kilobytes(gzipBytes(bundle[name]!))}`);
            this.error(`${verdict}: over budget.\n${list.join('\n')}`);
          }
          this.info(verdict);
        }
      },
    },
  };
}
