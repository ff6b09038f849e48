/** The kernel view on the page: a picture of the limits, and for each phase its kernels by their share of the time. */
import { html, nothing, svg, type TemplateResult } from 'lit';
import { formatBytes } from '../../base/number-text.ts';
import type { KernelReport, KernelTiming, Phase, PhaseReport } from '../../bench/kernels/kernel-report.ts';
import { formatMicroseconds, formatPercent, threeDigits } from '../../bench/kernels/kernel-text.ts';
import { type Roofline, roofline } from '../../bench/kernels/roofline.ts';
import { describeRoofline, drawRoofline, kernelMark, ROOFLINE_VIEW_BOX } from './roofline-picture.ts';

export function renderKernels(report: KernelReport): TemplateResult {
  const limits = roofline(report);
  const { clock, layers, weightBytes, notes } = report;
  return html`<section class="kernels" aria-labelledby="kernels-title">
    <h3 id="kernels-title">Kernel by kernel</h3>
    <p class="quiet">
      The engine's own kernels over ${formatBytes(weightBytes)} of random weights
      (${layers.measured} of ${layers.total} layers), timed by
      ${clock === 'timestamp-query' ? "the GPU's timestamps" : 'batches, from the outside'}.
    </p>
    ${
      notes.length === 0
        ? nothing
        : html`<ul class="notes">
            ${notes.map((note) => html`<li>${note}</li>`)}
          </ul>`
    }
    ${renderRoofline(limits)} ${renderPhase('decode', report.decode, limits)}
    ${renderPhase('prefill', report.prefill, limits)}
  </section>`;
}

function renderRoofline(limits: Roofline): TemplateResult | typeof nothing {
  if (limits.points.length === 0) return nothing;
  return html`<figure class="roofline">
    <div class="scroll" tabindex="0" role="group" aria-label="Roofline">
      <svg viewBox=${ROOFLINE_VIEW_BOX} role="img" aria-label=${describeRoofline(limits)}>${drawRoofline(limits)}</svg>
    </div>
    <figcaption class="quiet">
      No kernel gets above the roof: on the slope the memory holds it back, under the flat part arithmetic. What lies
      between a kernel and the roof could be gained. The larger a mark, the more of the time is its kernel's:
      <span class="key decode">●</span> D, a decoded token; <span class="key prefill">■</span> P, a chunk of a prompt.
    </figcaption>
  </figure>`;
}

function renderPhase(phase: Phase, report: PhaseReport, limits: Roofline): TemplateResult {
  const { tokens, depth, gpuMicroseconds, kernelMicroseconds, cpuMicroseconds, dispatches } = report;
  const title = phase === 'decode' ? `A decoded token at depth ${depth}` : `A chunk of ${tokens} tokens`;
  const reached = new Map(
    limits.points
      .filter((point) => point.phase === phase)
      .map(({ rank, gflopsPerSecond, attainableGflopsPerSecond }) => [
        rank,
        gflopsPerSecond / attainableGflopsPerSecond,
      ]),
  );
  return html`<h4 id="kernels-${phase}">${title}</h4>
    <p class="quiet">
      ${formatMicroseconds(gpuMicroseconds)} on the GPU, of which the kernels add up to
      ${formatMicroseconds(kernelMicroseconds)}; ${dispatches} dispatches,
      ${formatMicroseconds(cpuMicroseconds / tokens)} of processor time a token to encode and submit.
    </p>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="kernels-${phase}">
      <table>
        <thead>
          <tr>
            <th scope="col">Kernel</th>
            <th scope="col" class="number">Share of time</th>
            <th scope="col" class="number">Times</th>
            <th scope="col" class="number">Each</th>
            <th scope="col" class="number">Least – most</th>
            <th scope="col" class="number">Bytes</th>
            <th scope="col" class="number">GB/s</th>
            <th scope="col" class="number">Of copy</th>
            <th scope="col" class="number">GFLOP/s</th>
            <th scope="col" class="number">Of the roof</th>
          </tr>
        </thead>
        <tbody>
          ${report.kernels.map((kernel, i) => renderKernel(kernel, i + 1, report.kernels[0]!.shareOfTime, reached.get(i + 1) ?? null))}
        </tbody>
      </table>
    </div>`;
}

/** Of the kernel that takes most of its phase. */
const BAR = 40;

function renderKernel(
  kernel: KernelTiming,
  rank: number,
  most: number,
  ofRoof: number | null,
): TemplateResult {
  const { phase, op, shape, formats, shareOfTime, dispatches, microseconds, samples, bytes } = kernel;
  return html`<tr>
    <th scope="row">
      ${kernelMark(phase, rank)} ${op} <span class="quiet">${`${shape} ${formats}`.trim()}</span>
    </th>
    <td>
      <span class="share">
        <svg width=${BAR} height="8" aria-hidden="true">
          ${svg`<rect class=${phase} width=${Math.max(1, (shareOfTime / most) * BAR)} height="8"></rect>`}
        </svg>
        ${formatPercent(shareOfTime)}
      </span>
    </td>
    <td class="number">${dispatches}</td>
    <td class="number">${formatMicroseconds(microseconds)}</td>
    <td class="number">
      ${formatMicroseconds(Math.min(...samples))} – ${formatMicroseconds(Math.max(...samples))}
    </td>
    <td class="number">${formatBytes(bytes)}</td>
    <td class="number">${threeDigits(kernel.gigabytesPerSecond)}</td>
    <td class="number">${formatPercent(kernel.shareOfCopyBandwidth)}</td>
    <td class="number">${kernel.gflopsPerSecond === null ? '–' : threeDigits(kernel.gflopsPerSecond)}</td>
    <td class="number">${ofRoof === null ? '–' : formatPercent(ofRoof)}</td>
  </tr>`;
}
