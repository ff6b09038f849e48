/** Software Vulkan drivers for WebGPU in Node (Dawn): SwiftShader has no shader-f16, Mesa's lavapipe has. */
import { existsSync } from 'node:fs';

const first = (paths: string[]): string | null => paths.find((path) => existsSync(path)) ?? null;

export const softwareVulkan = {
  f32: () =>
    first(['/usr/lib/chromium/vk_swiftshader_icd.json', '/opt/google/chrome/vk_swiftshader_icd.json']),
  f16: () => first(['/usr/share/vulkan/icd.d/lvp_icd.json', '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json']),
};
