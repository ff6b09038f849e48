/**
 * End-to-end tests of the built site (`dist/`) in the installed Chrome or Chromium. Each spec serves it itself, under a
 * sub-path and without special headers (scripts/lib/static-server.mjs).
 */
import { defineConfig } from 'playwright/test';
import { findChromium } from './scripts/lib/chromium.ts';
import { chromiumArguments } from './tests/tools/chromium.ts';

const executablePath = findChromium();
if (executablePath === null) {
  throw new Error('No Chrome or Chromium found: install one, or set TRAMONTANE_CHROMIUM to its path.');
}

export default defineConfig({
  testDir: 'tests/e2e',
  outputDir: 'test-results',
  fullyParallel: false,
  workers: 1,
  // What fails once and then passes is listed as flaky, with its error: a browser, too, may fail on a machine like that.
  retries: 1,
  // For a machine many times slower than ours, and busy besides: they end what hangs, and say nothing about speed.
  timeout: 900_000,
  expect: { timeout: 180_000 },
  reporter: [['list']],
  use: {
    launchOptions: { executablePath, args: chromiumArguments },
    viewport: { width: 1280, height: 820 },
    trace: 'off',
  },
});
