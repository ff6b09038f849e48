import { existsSync } from 'node:fs';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { chromiumArguments, f16ChromiumPath, findChromium } from './tests/tools/chromium.ts';
import { softwareVulkan } from './tests/tools/vulkan.ts';

/**
 * Projects:
 *   node               pure logic, no GPU, seconds
 *   gpu-dawn-f32/-f16  *.gpu.test.ts on Dawn in Node over SwiftShader (no f16) and lavapipe (f16)
 *   gpu-chromium[-f16] the same files in a real browser
 *   browser            *.browser.test.ts: storage, UI
 */
const gpuTests = ['{src,tests}/**/*.gpu.test.ts'];

function dawnProject(name: string, icd: string | null) {
  return {
    test: {
      name,
      include: icd === null ? [] : gpuTests,
      setupFiles: ['tests/gpu/setup-dawn.ts'],
      env: icd === null ? {} : { TRAMONTANE_VULKAN_ICD: icd },
      pool: 'forks' as const,
      fileParallelism: false,
      testTimeout: 120_000,
      hookTimeout: 120_000,
    },
  };
}

function browserProject(name: string, include: string[], executablePath: string | null) {
  return {
    optimizeDeps: { include: ['idb-keyval', 'lit', '@mlc-ai/web-llm'] },
    test: {
      name,
      include: executablePath === null ? [] : include,
      testTimeout: 120_000,
      hookTimeout: 120_000,
      fileParallelism: false,
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({
          launchOptions: { executablePath: executablePath ?? '', args: chromiumArguments },
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
    globalSetup: ['tests/tools/make-models.ts'],
    projects: [
      {
        test: {
          name: 'node',
          include: ['{src,tests,scripts}/**/*.test.ts'],
          exclude: ['**/*.gpu.test.ts', '**/*.browser.test.ts', '**/e2e/**'],
          testTimeout: 60_000,
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
