import { expect, test } from 'vitest';
import { adviseOnWebGpu } from './webgpu-advice.ts';

const chromeOn = (system: string, version: number) =>
  `Mozilla/5.0 (${system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${version}.0.0.0 Safari/537.36`;

function advise(userAgent: string, more: { isSecureContext?: boolean; hasWebGpu?: boolean } = {}) {
  const { problem, steps } = adviseOnWebGpu({ userAgent, isSecureContext: true, hasWebGpu: false, ...more });
  return [problem, ...steps].join('\n');
}

test.each([
  ['an old Chrome', chromeOn('Windows NT 10.0; Win64; x64', 112), /version 113, this is 112/],
  [
    'Chrome without acceleration',
    chromeOn('Windows NT 10.0; Win64; x64', 140),
    /chrome:\/\/settings\/system/,
  ],
  ['Chrome on Linux', chromeOn('X11; Linux x86_64', 140), /enable-unsafe-webgpu/],
  ['Edge', `${chromeOn('Windows NT 10.0; Win64; x64', 140)} Edg/140.0.0.0`, /edge:\/\/settings\/system/],
  [
    'Firefox',
    'Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0',
    /dom\.webgpu\.enabled/,
  ],
  [
    'Safari',
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15',
    /Safari 26/,
  ],
  ['anything else', 'Lynx/2.9', /Chrome or Edge/],
])('%s gets its own next step', (_browser, userAgent, expected) => {
  expect(advise(userAgent)).toMatch(expected);
});

test('an unsafe connection is named first', () => {
  expect(advise(chromeOn('Windows NT 10.0', 140), { isSecureContext: false })).toMatch(/https:/);
});

test('WebGPU without an adapter is told apart from no WebGPU', () => {
  expect(advise(chromeOn('Windows NT 10.0', 140), { hasWebGpu: true })).toMatch(/found no GPU/);
});
