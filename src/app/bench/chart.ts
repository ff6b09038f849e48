/** A chart: lines or points over a linear or logarithmic plane. Colours follow the theme; the tables hold the numbers. */
import { css, html, LitElement, type PropertyValues, unsafeCSS } from 'lit';
import { property, query } from 'lit/decorators.js';
import UPlot from 'uplot';
import uPlotStyles from 'uplot/dist/uPlot.min.css?inline';
import { base } from '../../ui/tokens.css.ts';

export interface ChartSeries {
  name: string;
  /** One for each x; null where there is none. */
  values: readonly (number | null)[];
  kind: 'line' | 'points';
}

export interface ChartData {
  /** What it shows, for those who do not see it. */
  description: string;
  xLabel: string;
  yLabel: string;
  x: readonly number[];
  series: readonly ChartSeries[];
  scale: 'linear' | 'logarithmic';
}

const HEIGHT = 260;
const COLOURS = 6;

export class TramontaneChart extends LitElement {
  static override styles = [
    base,
    unsafeCSS(uPlotStyles),
    css`
      :host {
        display: block;
        color: var(--_text-quiet);
      }

      .u-legend {
        color: var(--_text);
        font-size: var(--_text-small);
        font-variant-numeric: tabular-nums;
        text-align: start;
      }

      .colours {
        display: none;
      }

      .grid {
        color: var(--_border);
      }

      .series-0 {
        color: light-dark(#0d6a8f, #5dbfe0);
      }

      .series-1 {
        color: light-dark(#b4531b, #f0a36b);
      }

      .series-2 {
        color: light-dark(#3f7d2c, #93cf7c);
      }

      .series-3 {
        color: light-dark(#7b4bb0, #c2a1ec);
      }

      .series-4 {
        color: light-dark(#a8324a, #f191a4);
      }

      .series-5 {
        color: light-dark(#6b6410, #d6cc63);
      }
    `,
  ];

  @property({ attribute: false }) data: ChartData | null = null;
  @query('.plot') private plot!: HTMLElement;
  @query('.colours') private colours!: HTMLElement;

  #chart: UPlot | null = null;
  readonly #resize = new ResizeObserver(() => {
    const width = this.clientWidth;
    if (this.#chart !== null && width > 0 && width !== this.#chart.width) {
      this.#chart.setSize({ width, height: HEIGHT });
    }
  });
  readonly #onTheme = () => this.#draw();
  readonly #themes = [matchMedia('(prefers-color-scheme: dark)')];
  /** The page's own switch of theme. */
  readonly #themeAttribute = new MutationObserver(this.#onTheme);

  override connectedCallback(): void {
    super.connectedCallback();
    this.#resize.observe(this);
    for (const theme of this.#themes) theme.addEventListener('change', this.#onTheme);
    this.#themeAttribute.observe(document.documentElement, { attributes: true });
    if (this.hasUpdated) this.#draw();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#resize.disconnect();
    for (const theme of this.#themes) theme.removeEventListener('change', this.#onTheme);
    this.#themeAttribute.disconnect();
    this.#chart?.destroy();
    this.#chart = null;
  }

  protected override render() {
    return html`
      <div class="plot" role="img" aria-label=${this.data?.description ?? ''}></div>
      <div class="colours" aria-hidden="true">
        <i class="grid"></i>
        ${Array.from({ length: COLOURS }, (_, i) => html`<i class="series-${i}"></i>`)}
      </div>
    `;
  }

  protected override updated(changed: PropertyValues<this>): void {
    if (changed.has('data')) this.#draw();
  }

  #draw(): void {
    this.#chart?.destroy();
    this.#chart = null;
    const { data } = this;
    if (data === null || !this.isConnected || !this.hasUpdated) return;
    const text = getComputedStyle(this).color;
    const [grid = text, ...lines] = Array.from(
      this.colours.children,
      (probe) => getComputedStyle(probe).color,
    );
    const font = `12px ${getComputedStyle(this).fontFamily}`;
    const axis = (label: string, size: number): UPlot.Axis => ({
      label,
      size,
      stroke: text,
      font,
      labelFont: font,
      labelSize: 22,
      grid: { stroke: grid, width: 1 },
      ticks: { stroke: grid, width: 1 },
    });
    const distribution = data.scale === 'logarithmic' ? { distr: 3 as const } : {};
    this.#chart = new UPlot(
      {
        width: Math.max(200, this.clientWidth),
        height: HEIGHT,
        scales: { x: { time: false, ...distribution }, y: distribution },
        axes: [
          // Samples have whole numbers.
          { ...axis(data.xLabel, 40), ...(data.scale === 'linear' ? { incrs: [1, 2, 5, 10, 20, 50] } : {}) },
          axis(data.yLabel, 60),
        ],
        legend: { live: false },
        series: [
          { label: data.xLabel },
          ...data.series.map(({ name, kind }, i): UPlot.Series => {
            const stroke = lines[i % COLOURS] ?? text;
            return {
              label: name,
              stroke,
              width: 2,
              spanGaps: true,
              points: { show: true, size: kind === 'points' ? 9 : 6, fill: stroke },
              ...(kind === 'points' ? { paths: () => null } : {}),
            };
          }),
        ],
      },
      [[...data.x], ...data.series.map(({ values }) => [...values])],
      this.plot,
    );
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'tramontane-chart': TramontaneChart;
  }
}
