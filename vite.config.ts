/**
 * The site: every page at the repository's root, built for any static host under any path (relative base) and
 * without special headers. `npm run build` prints sizes and fails when the app shell is over its budget.
 */
import { readFileSync } from 'node:fs';
import { defineConfig } from 'vite';
import { VitePWA } from 'vite-plugin-pwa';
import { closedPolicy, contentSecurityPolicy } from './scripts/vite/content-security-policy.ts';
import { sizeBudget } from './scripts/vite/size-budget.ts';

const packageJson = JSON.parse(readFileSync(new URL('./package.json', import.meta.url), 'utf8')) as {
  version: string;
  dependencies: Record<string, string>;
};

const pages = ['index', 'json', 'ask'];

/** The engine's worker carries all of WebLLM (6.8 MB); it must be there when the network is not. */
const MAX_PRECACHED_FILE_BYTES = 16 * 2 ** 20;

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
    rolldownOptions: { input: Object.fromEntries(pages.map((page) => [page, `${page}.html`])) },
  },
  worker: { format: 'es' },
  plugins: [
    contentSecurityPolicy(() => closedPolicy),
    sizeBudget([
      { page: 'index.html', maxGzipBytes: 150_000 },
      { page: 'json.html', maxGzipBytes: 150_000 },
    ]),
    VitePWA({
      // The page registers the service worker itself and decides when an update takes over (src/app/offline.ts).
      injectRegister: null,
      registerType: 'prompt',
      manifest: false,
      filename: 'service-worker.js',
      workbox: {
        globPatterns: ['**/*.{html,js,css,wasm,svg,png,webmanifest}', 'models/models.json'],
        // Weights live in IndexedDB, never here.
        globIgnores: ['models/*/**', 'ask.html'],
        maximumFileSizeToCacheInBytes: MAX_PRECACHED_FILE_BYTES,
        inlineWorkboxRuntime: true,
        sourcemap: false,
        // Page parameters (?engine=fake) select behaviour, not files.
        ignoreURLParametersMatching: [/.*/],
        navigateFallback: null,
        cleanupOutdatedCaches: true,
        // The first visit is taken over at once; an update waits until the person agrees.
        clientsClaim: true,
        skipWaiting: false,
      },
    }),
  ],
});
