import { expect, test } from 'vitest';
import type { AdapterReport, StoredModelInfo } from '../engine/api.ts';
import { orderModels } from './offer-models.ts';

const adapter: AdapterReport = {
  ...{ vendor: 'nvidia', architecture: 'ampere', description: '', isSoftware: false, shaderF16: true },
  ...{ subgroups: true, subgroupMinSize: 32, subgroupMaxSize: 32, maxBufferBytes: 2 ** 32 },
  ...{ maxStorageBindingBytes: 2 ** 31, maxWorkgroupStorageBytes: 49_152 },
  ...{ maxInvocationsPerWorkgroup: 1024, maxStorageBuffersPerStage: 10 },
};
const stored = (id: string, byteLength: number, library: StoredModelInfo['library']): StoredModelInfo => ({
  ...{ id, name: id, quantization: 'q4f16_1', parameterCount: null, byteLength, contextLength: 4096 },
  ...{ maxContextLength: null, kvBytesPerToken: null, layerCount: null, licence: null, library },
  ...{ source: { name: id, url: null }, storedAt: 0 },
});

test('a stored model whose library the GPU cannot run comes last', () => {
  const models = [
    stored('prebuilt', 2e9, { needsShaderF16: true }),
    stored('generated', 1e9, null),
    stored('prebuilt-f32', 5e8, { needsShaderF16: false }),
  ];
  const order = (report: AdapterReport) => orderModels([], models, report).map(({ id }) => id);
  expect(order(adapter)).toEqual(['prebuilt', 'generated', 'prebuilt-f32']);
  expect(order({ ...adapter, shaderF16: false })).toEqual(['generated', 'prebuilt-f32', 'prebuilt']);
});
