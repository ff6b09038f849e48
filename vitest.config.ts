import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { findChromium } from './scripts/lib/chromium.ts';
import { hostileCommands } from './tests/hostile/browser-commands.ts';
import { chromiumArguments, f16ChromiumPath } from './tests/tools/chromium.ts';
import { softwareVulkan } from './tests/tools/vulkan.ts';

/**
 * Projects:
 *   node               pure logic, no GPU, seconds
 *   gpu-chromium[-f16] *.gpu.test.ts in a real browser, over SwiftShader (no f16) or lavapipe (f16)
 *   gpu-dawn-f32/-f16  whole models and the runtime on Dawn in Node, over the same drivers
 *   browser            *.browser.test.ts: storage, UI
 */
/**
 * For a machine many times slower than ours, and busy besides. They end what hangs; nothing is said about speed by them,
 * and a test that passes never waits for one.
 */
const patience = { testTimeout: 600_000, hookTimeout: 600_000, expect: { poll: { timeout: 120_000 } } };

const gpuTests = ['{src,tests}/**/*.gpu.test.ts'];

// Kernels run in the browsers; on Dawn, over the same drivers, with the long suites only.
const full = process.env.TRAMONTANE_FULL !== undefined;
const dawnTests = full ? gpuTests : ['tests/**/*.gpu.test.ts'];

function dawnProject(name: string, icd: string | null) {
  return {
    test: {
      name,
      include: icd === null ? [] : dawnTests,
      setupFiles: ['tests/gpu/setup-dawn.ts'],
      // One thread: lavapipe's threads wait for each other by spinning, which starves them where cores are few.
      env: icd === null ? {} : { TRAMONTANE_VULKAN_ICD: icd, LP_NUM_THREADS: '1' },
      pool: 'forks' as const,
      fileParallelism: false,
      ...patience,
    },
  };
}

/** Bundled by Vite before the first test: one found in the middle of a run reloads the page under it. */
const testedInBrowsers = [
  ...['idb-keyval', 'lit', 'lit/decorators.js', 'lit/directives/repeat.js', 'marked', 'dompurify'],
  '@mlc-ai/web-llm',
  '@cfworker/json-schema',
];

function browserProject(name: string, include: string[], executablePath: string | null) {
  return {
    optimizeDeps: { include: testedInBrowsers },
    test: {
      name,
      include: executablePath === null ? [] : include,
      ...patience,
      fileParallelism: false,
      // Browsers have no environment variables.
      provide: { isFull: full },
      browser: {
        enabled: true,
        connectTimeout: 600_000,
        headless: true,
        screenshotFailures: false,
        commands: hostileCommands,
        provider: playwright({
          launchOptions: {
            executablePath: executablePath ?? '',
            args: chromiumArguments,
            env: { ...process.env, LP_NUM_THREADS: '1' } as Record<string, string>,
          },
        }),
        instances: [{ browser: 'chromium' as const }],
      },
    },
  };
}

const chromium = findChromium();
const chromiumF16 = existsSync(f16ChromiumPath) ? f16ChromiumPath : null;

export default defineConfig({
  test: {
    // Vitest would leave a core idle, which of two is half.
    maxWorkers: availableParallelism(),
    globalSetup: ['tests/tools/make-models.ts'],
    projects: [
      {
        test: {
          name: 'node',
          include: ['{src,tests,scripts}/**/*.test.ts'],
          exclude: ['**/*.gpu.test.ts', '**/*.browser.test.ts', '**/e2e/**'],
          ...patience,
        },
      },
      dawnProject('gpu-dawn-f32', softwareVulkan.f32()),
      dawnProject('gpu-dawn-f16', softwareVulkan.f16()),
      browserProject('gpu-chromium', gpuTests, chromium),
      browserProject('gpu-chromium-f16', gpuTests, chromiumF16),
      browserProject('browser', ['src/**/*.browser.test.ts', 'tests/**/*.browser.test.ts'], chromium),
    ],
  },
});
