/** What importing a source will do to the weight store, known from its header: under which name, and where bytes go. */

import { sha256Hex } from '../../base/sha256.ts';
import type { WeightStore } from '../../storage/weight-store.ts';
import type { ImportPreview, PendingModelInfo, StoredModelInfo } from '../api.ts';
import { describeStoredModel, listPendingModels, readModelFacts } from '../stored-models.ts';
import { createConfig, DEFAULT_MAX_RECORD_BYTES, DEFAULT_MAX_SHARD_BYTES } from './import-model.ts';
import { type ImportLimits, type ImportPlan, planImport } from './import-plan.ts';
import type { OpenedSource } from './opened-source.ts';

/** A source that was looked at, and where its tensors will go. */
export interface PlannedImport {
  /** Name in the weight store. */
  id: string;
  opened: OpenedSource;
  plan: ImportPlan;
  /** Equal only for the same bytes of a source going to the same places, so that what is stored of them may be used. */
  identity: string;
}

export async function planSource(
  opened: OpenedSource,
  {
    maxRecordBytes = DEFAULT_MAX_RECORD_BYTES,
    maxShardBytes = DEFAULT_MAX_SHARD_BYTES,
  }: Partial<ImportLimits> = {},
): Promise<PlannedImport> {
  const { model, origin } = opened.prepared;
  const plan = planImport(model, { maxRecordBytes, maxShardBytes });
  return {
    id: modelId(origin.name, origin.quantization),
    opened,
    plan,
    identity: await identify(opened.version, plan),
  };
}

/** The same for every source of the same name and quantization: a newer build replaces an older one. */
export function modelId(name: string, quantization: string): string {
  const [base, suffix] = [slug(name, MAX_NAME_SLUG), slug(quantization, MAX_QUANTIZATION_SLUG)];
  return base.endsWith(suffix) ? base : `${base}-${suffix}`;
}

/** Together they fit where a tar keeps a folder's name. */
const MAX_NAME_SLUG = 80;
const MAX_QUANTIZATION_SLUG = 40;

function slug(text: string, maxLength: number): string {
  const plain = text
    .slice(0, maxLength)
    .normalize('NFKD')
    .toLowerCase()
    .replace(/\p{M}/gu, '')
    .replace(/[^a-z0-9._]+/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '')
    .slice(0, maxLength);
  return plain === '' ? 'model' : plain;
}

async function identify(version: string | null, { shards }: ImportPlan): Promise<string> {
  // Nothing that is stored of such a source can be told to belong to the bytes that it has now.
  if (version === null) return crypto.randomUUID();
  const places = shards.map(({ name, byteLength, items }) => [
    name,
    byteLength,
    items.map(({ quants, scales, slices }) => [
      [quants.offset, quants.byteLength, scales.byteLength],
      slices.map((slice) => [slice.offset, slice.byteLength]),
    ]),
  ]);
  return sha256Hex(new TextEncoder().encode(JSON.stringify([version, places])));
}

/** What a person is told before an import begins. @throws TramontaneError `storage-failed` */
export async function previewImport(store: WeightStore, planned: PlannedImport): Promise<ImportPreview> {
  const { id, opened, plan, identity } = planned;
  const { prepared, name, url } = opened;
  const { model, template, sampling, origin } = prepared;
  const facts = readModelFacts(createConfig(prepared), { id });
  const pending = await describePending(store, id);
  const isSame = (await store.readPending(id))?.identity === identity;
  return {
    id,
    layout: prepared.layout,
    name: origin.name,
    quantization: origin.quantization,
    parameterCount: model.parameterCount,
    sourceBytes: plan.sourceByteLength,
    storedBytes: plan.byteLength,
    maxContextLength: model.architecture.maxContextLength,
    kvBytesPerToken: facts.kvBytesPerToken,
    layerCount: facts.layerCount,
    template: template.id,
    temperature: sampling.temperature,
    licence: origin.licence,
    listedSha256: origin.listedSha256,
    source: { name, url },
    formats: sumByType(planned),
    resumes: isSame ? pending : null,
    obstructs: isSame ? null : pending,
    replaces: await describeWhole(store, id),
  };
}

export async function describePending(store: WeightStore, id: string): Promise<PendingModelInfo | null> {
  return (await listPendingModels(store)).find((pending) => pending.id === id) ?? null;
}

export async function describeWhole(store: WeightStore, id: string): Promise<StoredModelInfo | null> {
  const model = await store.readModel(id);
  return model === null ? null : describeStoredModel(store, model);
}

/** Most bytes first. */
function sumByType({ opened }: PlannedImport): ImportPreview['formats'] {
  const sums = new Map<string, number>();
  for (const entry of opened.prepared.model.tensors) {
    const { sourceType, sourceByteLength } = entry.kind === 'matrix' ? entry.matrix : entry.vector;
    sums.set(sourceType, (sums.get(sourceType) ?? 0) + sourceByteLength);
  }
  return [...sums]
    .map(([type, byteLength]) => ({ type, byteLength }))
    .sort((a, b) => b.byteLength - a.byteLength);
}
