/**
 * The site: every page at the repository's root, built for any static host under any path (relative base) and
 * without special headers. `npm run build` prints sizes and fails when the app shell is over its budget.
 */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';
import { contentSecurityPolicy, policyOfPage } from './scripts/vite/content-security-policy.ts';
import { serviceWorker } from './scripts/vite/service-worker.ts';
import { sizeBudget } from './scripts/vite/size-budget.ts';

const packageJson = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
};

const pages = ['index', 'json', 'bench', 'import', 'storage', 'ask'];

export default defineConfig({
  base: './',
  define: {
    __TRAMONTANE_VERSION__: JSON.stringify(packageJson.version),
    __WEBLLM_VERSION__: JSON.stringify(packageJson.dependencies['@mlc-ai/web-llm']),
  },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 8000,
    rolldownOptions: {
      input: {
        ...Object.fromEntries(pages.map((page) => [page, `${page}.html`])),
        embed: 'src/app/embed.ts',
        'embed-bench': 'src/app/embed-bench.ts',
      },
      // Pages embed the elements by these names; they have to stay, and so have their exports.
      preserveEntrySignatures: 'exports-only',
      output: {
        entryFileNames: ({ name }) => (name.startsWith('embed') ? '[name].js' : 'assets/[name]-[hash].js'),
      },
    },
  },
  worker: { format: 'es' },
  plugins: [
    contentSecurityPolicy(policyOfPage),
    sizeBudget([
      { page: 'index.html', maxGzipBytes: 150_000 },
      { page: 'json.html', maxGzipBytes: 150_000 },
      { page: 'bench.html', maxGzipBytes: 150_000 },
      { page: 'import.html', maxGzipBytes: 150_000 },
      { page: 'storage.html', maxGzipBytes: 150_000 },
    ]),
    serviceWorker(),
  ],
});
