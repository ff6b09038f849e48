/** What is known of the visitor's device, and the test that finds out how much memory its GPU grants. */
import { html, nothing, type TemplateResult } from 'lit';
import { formatMemory } from '../../base/number-text.ts';
import { renderFailure, renderNoWebGpu } from '../../element/model-views.ts';
import type { GpuMemoryProbe } from '../../engine/api.ts';
import { sharesMemory } from '../../models/fit.ts';
import { icons } from '../../ui/icons.ts';
import { describeFreeRoom } from '../free-room.ts';
import type { ImportController } from './import-controller.ts';

/** @param wantedBytes What a test asks for; null where there is nothing to test for. */
export function renderDevice(
  model: ImportController,
  wantedBytes: number | null,
  test: (wantedBytes: number) => void,
): TemplateResult {
  const { adapter, estimate, probe } = model;
  if (adapter === null) return renderNoWebGpu();
  const gpu = adapter && (adapter.description || `${adapter.vendor} ${adapter.architecture}`);
  const memory =
    adapter && sharesMemory(adapter)
      ? 'Shared with the rest of the device'
      : probe === null
        ? 'Browsers do not tell'
        : describeProbe(probe);
  const storage =
    estimate === null
      ? 'This browser does not tell how much is free'
      : `${describeFreeRoom(estimate)} free for this site`;
  return html`<section class="panel device" aria-labelledby="device">
    <h2 id="device">This device</h2>
    <dl class="pairs">
      <dt>GPU</dt>
      <dd>${gpu ?? 'Looking…'}</dd>
      <dt>GPU memory</dt>
      <dd>${memory}</dd>
      <dt>Storage</dt>
      <dd>${storage}</dd>
    </dl>
    ${adapter && wantedBytes !== null ? renderTest(model, wantedBytes, test) : nothing}
  </section>`;
}

/** The button that finds out whether so much memory is there. On a software adapter there is nothing to find out. */
export function renderTest(
  { adapter, isProbing, probeError, probe }: ImportController,
  wantedBytes: number,
  test: (wantedBytes: number) => void,
): TemplateResult | typeof nothing {
  if (!adapter || adapter.isSoftware) return nothing;
  const isAnswered =
    probe !== null && (probe.wantedBytes >= wantedBytes || probe.grantedBytes < probe.wantedBytes);
  const label = isProbing ? 'Testing…' : isAnswered ? 'Test again' : `Test for ${formatMemory(wantedBytes)}`;
  return html`<div class="test">
    <div class="buttons">
      <button
        class="button"
        type="button"
        ?disabled=${isProbing}
        aria-describedby="test-help"
        @click=${() => test(wantedBytes)}
      >
        ${icons.chip} ${label}
      </button>
    </div>
    <p class="help" id="test-help">
      Takes so much of the GPU's memory for a moment and gives it back. Other pages that use the GPU may stutter.
    </p>
    ${probeError ? renderFailure(probeError) : nothing}
  </div>`;
}

export function describeProbe({ wantedBytes, grantedBytes }: GpuMemoryProbe): string {
  return grantedBytes < wantedBytes
    ? `${formatMemory(grantedBytes)} granted, not more`
    : `${formatMemory(grantedBytes)} granted, perhaps more`;
}
