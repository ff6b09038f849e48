/** How a report looks: the headline, what to know before reading on, the tables and the machine. */
import { html, nothing, type TemplateResult } from 'lit';
import { formatBytes, formatMemory } from '../../base/number-text.ts';
import { AGREEMENT_RULE, compareRuns, describeVerdict } from '../../bench/agreement.ts';
import { describeLabel } from '../../bench/export.ts';
import { formatFigure, formatSpread } from '../../bench/figure-text.ts';
import type { BenchReport, BenchTest, Label, SuiteName } from '../../bench/report.ts';
import { icons } from '../../ui/icons.ts';
import type { ChartData } from './chart.ts';
import { renderKernels } from './kernel-view.ts';

const SUITE_NAMES: Record<SuiteName, string> = {
  standard: 'Standard',
  followup: 'Follow-up question',
  chat: 'Chat',
  json: 'JSON',
  load: 'Loading',
  selfcheck: 'Self-check',
  kernels: 'Kernel by kernel',
};

export function suiteName(suite: SuiteName): string {
  return SUITE_NAMES[suite];
}

export function formatDuration(ms: number): string {
  const seconds = Math.max(1, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  return `${Math.round(seconds / 60)} min`;
}

const GRAVE: ReadonlySet<Label> = new Set(['self-check-failed', 'device-lost', 'failed']);

export function renderReport(report: BenchReport): TemplateResult {
  return html`
    ${renderVerdict(report)} ${renderHeadline(report)} ${renderSamples(report)}
    ${[...new Set(report.tests.map(({ suite }) => suite))].map((suite) =>
      renderSuite(
        suite,
        report.tests.filter((test) => test.suite === suite),
      ),
    )}
    ${report.kernels ? renderKernels(report.kernels) : nothing} ${renderMachine(report)}
  `;
}

/** Labels come first: they say how far the figures can be trusted. */
function renderVerdict({ labels, stoppedBy, selfCheck, notes }: BenchReport): TemplateResult {
  return html`
    ${
      stoppedBy === null
        ? nothing
        : html`<div class="notice warning" role="alert">
            ${icons.warning}
            <div class="notice-text"><strong>This report is not complete.</strong> ${stoppedBy}</div>
          </div>`
    }
    <ul class="labels" aria-label="To know before comparing">
      ${labels.map(
        (label) => html`<li class="label ${GRAVE.has(label) ? 'grave' : ''}">${describeLabel(label)}</li>`,
      )}
      ${
        selfCheck === null
          ? nothing
          : html`<li class="label ${labels.includes('self-check-failed') ? 'grave' : 'good'}">
              self-check: ${selfCheck.agreement.toFixed(1)} % of ${selfCheck.positions} tokens agree
            </li>`
      }
    </ul>
    ${
      notes.length === 0
        ? nothing
        : html`<ul class="notes">
            ${notes.map((note) => html`<li>${note}</li>`)}
          </ul>`
    }
  `;
}

function renderHeadline({ tests }: BenchReport): TemplateResult | typeof nothing {
  const shown = tests.filter(({ suite, depth }) => suite === 'standard' && depth === 0);
  if (shown.length === 0) return nothing;
  return html`<dl class="headline">
    ${shown.map(
      (test) => html`<div>
        <dt>${test.id.startsWith('pp') ? 'Reading a prompt' : 'Writing'} <code>${test.id}</code></dt>
        <dd><strong>${formatFigure(test.statistics.mean)}</strong> ${test.unit}</dd>
      </div>`,
    )}
  </dl>`;
}

/** Every sample in its order: a machine that gets slower shows as a line that falls. */
function renderSamples({ tests }: BenchReport): TemplateResult | typeof nothing {
  const data = samplesChart(tests.filter(({ suite }) => suite === 'standard'));
  return data === null
    ? nothing
    : html`<section class="chart" aria-labelledby="samples-title">
        <h3 id="samples-title">Every sample, in its order</h3>
        <tramontane-chart .data=${data}></tramontane-chart>
      </section>`;
}

/** Against each test's own median, so that one picture holds tests of any speed. Null: nothing to draw. */
export function samplesChart(tests: readonly BenchTest[]): ChartData | null {
  const drawn = tests.flatMap(({ id, samples, statistics }) => {
    const { median } = statistics;
    // A sample that does not count is a gap; a throttled one is what the picture is for.
    const values = samples
      .filter(({ mark }) => mark !== 'warm-up')
      .map(({ value, mark }) => (mark === null || mark === 'throttled' ? value : null));
    return median === null || values.length < 2
      ? []
      : [
          {
            name: id,
            kind: 'line' as const,
            values: values.map((value) => (value === null ? null : (value / median) * 100)),
          },
        ];
  });
  if (drawn.length === 0) return null;
  const longest = Math.max(...drawn.map(({ values }) => values.length));
  return {
    description: `Samples of ${drawn.map(({ name }) => name).join(', ')} in percent of each test's median. The tables below have each test's mean and spread, the exported report every sample.`,
    xLabel: 'sample',
    yLabel: '% of the median',
    x: Array.from({ length: longest }, (_, i) => i + 1),
    series: drawn.map((series) => ({
      ...series,
      values: Array.from({ length: longest }, (_, i) => series.values[i] ?? null),
    })),
    scale: 'linear',
  };
}

function renderSuite(suite: SuiteName, tests: readonly BenchTest[]): TemplateResult {
  return html`<section aria-labelledby="suite-${suite}">
    <h3 id="suite-${suite}">${suiteName(suite)}</h3>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="suite-${suite}">
      <table>
        <thead>
          <tr>
            <th scope="col">Test</th>
            <th scope="col" class="number">Mean ± sd</th>
            <th scope="col">Unit</th>
            <th scope="col" class="number">Median</th>
            <th scope="col" class="number">Least – most</th>
            <th scope="col" class="number">Drift</th>
            <th scope="col" class="number">Samples</th>
          </tr>
        </thead>
        <tbody>
          ${tests.map(renderTest)}
        </tbody>
      </table>
    </div>
  </section>`;
}

function renderTest(test: BenchTest): TemplateResult {
  const { statistics: s, samples } = test;
  const marked = samples.filter(({ mark }) => mark !== null && mark !== 'warm-up').length;
  const range =
    s.minimum === null || s.maximum === null
      ? '–'
      : `${formatFigure(s.minimum)} – ${formatFigure(s.maximum)}`;
  const drift = s.drift === null ? '–' : `${s.drift > 0 ? '+' : ''}${(s.drift * 100).toFixed(1)} %`;
  return html`<tr>
    <th scope="row">${test.id}</th>
    <td class="number strong">${formatSpread(test)}</td>
    <td>${test.unit}</td>
    <td class="number">${formatFigure(s.median)}</td>
    <td class="number">${range}</td>
    <td class="number">${drift}</td>
    <td class="number">${s.count}${marked > 0 ? html` <span class="marked">+ ${marked} set aside</span>` : nothing}</td>
  </tr>`;
}

function renderMachine({
  machine,
  software,
  model,
  settings,
  thermal,
  startedAt,
  durationMs,
}: BenchReport): TemplateResult {
  const { adapter } = machine;
  const facts: [string, string | null][] = [
    [
      'GPU',
      [adapter.vendor, adapter.architecture, adapter.description].filter(Boolean).join(' ') || 'not named',
    ],
    ['Kernels', software.library],
    ['Largest binding', formatMemory(adapter.maxStorageBindingBytes)],
    ['Processor', [machine.processor, `${machine.cores} threads`].filter(Boolean).join(', ')],
    ['Memory', machine.memoryGib === null ? null : formatMemory(machine.memoryGib * 2 ** 30)],
    ['System', [machine.os, machine.program].filter(Boolean).join(', ')],
    ['Power', machine.power],
    ['Warmth', thermal.note],
    ['Clock', `steps of ${machine.clockResolutionMs.toPrecision(2)} ms`],
    [
      'Model',
      `${model.name} ${model.quantization}, ${formatBytes(model.weightBytes)}, context ${model.contextLength}`,
    ],
    ['Weights', model.tensorCacheSha256.slice(0, 16)],
    ['Library', software.librarySha256.slice(0, 16)],
    ['Versions', `Tramontane ${software.tramontane}, WebLLM ${software.webLlm}`],
    ['Measured', `${new Date(startedAt).toLocaleString()}, ${formatDuration(durationMs)}`],
    [
      'Estimate',
      settings.estimateMs === null ? null : `${formatDuration(settings.estimateMs)}, as said before it began`,
    ],
  ];
  return html`<details class="machine">
    <summary>The machine and the versions</summary>
    <dl>
      ${facts
        .filter(([, value]) => value !== null && value !== '')
        .map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}
    </dl>
    <p>
      A GPU that gets warm gets slower, and so does a laptop on its battery: the samples' order and the drift show it.
      Decoding includes sampling, as in a chat.
    </p>
  </details>`;
}

/**
 * The same tests of several runs, next to each other, and whether they agree. No ratios: a machine is not the same on
 * two days.
 */
export function renderComparison(reports: readonly BenchReport[]): TemplateResult {
  const { rows, circumstances } = compareRuns(reports);
  return html`<section aria-labelledby="comparison-title">
    <h2 id="comparison-title">Side by side</h2>
    <div class="scroll" tabindex="0" role="group" aria-labelledby="comparison-title">
      <table>
        <thead>
          <tr>
            <th scope="col">Test</th>
            ${reports.map(
              ({ model, machine, startedAt, labels }) => html`<th scope="col" class="number">
                ${model.name} ${model.quantization}<br />
                <span class="quiet">
                  ${machine.adapter.description || machine.adapter.vendor}<br />${new Date(startedAt).toLocaleString()}
                  ${labels.length > 0 ? html`<br />${labels.join(', ')}` : nothing}
                </span>
              </th>`,
            )}
            <th scope="col">These runs</th>
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (row) => html`<tr>
              <th scope="row">${row.id} <span class="quiet">${row.unit}</span></th>
              ${row.tests.map((test) => html`<td class="number">${test === null ? '–' : formatSpread(test)}</td>`)}
              <td class=${row.verdict}>${describeVerdict(row)}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${circumstances.length === 0 ? nothing : html`<p class="quiet">${circumstances.join(' ')}</p>`}
    <p class="quiet">
      ${AGREEMENT_RULE} Runs that differ were made by machines in different states, or by different programs: to compare
      two variants, have them measured in turns within one run.
    </p>
  </section>`;
}
