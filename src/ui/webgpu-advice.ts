/** What to do where there is no WebGPU, by browser. Pure: looks only at what it is given. */

export interface BrowserFacts {
  userAgent: string;
  isSecureContext: boolean;
  hasWebGpu: boolean;
}

export interface WebGpuAdvice {
  /** What is missing, as a sentence. */
  problem: string;
  /** What to do, step by step. */
  steps: string[];
}

const problem =
  'This page runs its model on your GPU through WebGPU, which this browser does not offer right now.';

function versionOf(userAgent: string, pattern: RegExp): number | null {
  const match = pattern.exec(userAgent);
  return match ? Number(match[1]) : null;
}

export function adviseOnWebGpu({ userAgent, isSecureContext, hasWebGpu }: BrowserFacts): WebGpuAdvice {
  if (!isSecureContext) {
    return {
      problem: 'Browsers offer WebGPU only to pages that came over a safe connection.',
      steps: ['Open this page with https:// (or from localhost).'],
    };
  }
  const isLinux = /Linux/.test(userAgent) && !/Android/.test(userAgent);
  const edge = versionOf(userAgent, /Edg\/(\d+)/);
  const chrome = versionOf(userAgent, /Chrom(?:e|ium)\/(\d+)/);
  const firefox = versionOf(userAgent, /Firefox\/(\d+)/);
  const safari = versionOf(userAgent, /Version\/(\d+)[.\d]* (?:Mobile\/\S+ )?Safari/);
  if (chrome !== null) {
    const [name, scheme] = edge === null ? ['Chrome', 'chrome'] : ['Edge', 'edge'];
    if (chrome < 113)
      return { problem, steps: [`Update ${name}: WebGPU came with version 113, this is ${chrome}.`] };
    const found = hasWebGpu
      ? `${name} knows WebGPU, but found no GPU it can use.`
      : `${name} has WebGPU switched off on this device.`;
    return {
      problem: found,
      steps: [
        `Open ${scheme}://settings/system, switch on “Use graphics acceleration when available”, and restart ${name}.`,
        ...(isLinux
          ? [
              `On Linux, also enable ${scheme}://flags/#enable-unsafe-webgpu and ${scheme}://flags/#enable-vulkan.`,
            ]
          : []),
        `Look at ${scheme}://gpu: the line “WebGPU” should say “Hardware accelerated”. If not, update the graphics driver.`,
      ],
    };
  }
  if (firefox !== null) {
    return {
      problem,
      steps: [
        'Update Firefox: it has WebGPU on Windows since version 141 and on Macs with Apple silicon since 145.',
        'Elsewhere, open about:config and set dom.webgpu.enabled to true, or use Chrome or Edge.',
      ],
    };
  }
  if (safari !== null) {
    return {
      problem,
      steps: [
        'Update to macOS 26, iOS 26 or later: Safari 26 has WebGPU.',
        'Or use Chrome or Edge on this computer.',
      ],
    };
  }
  return { problem, steps: ['Open this page in a current Chrome or Edge on a computer with a GPU.'] };
}
