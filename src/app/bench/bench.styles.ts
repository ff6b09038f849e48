import { css } from 'lit';

export const benchStyles = css`
  :host {
    font-size: var(--_text-medium);
  }

  .page {
    max-width: 64rem;
  }

  .page > *,
  .panel > * {
    min-width: 0;
  }

  .intro {
    display: grid;
    gap: var(--_space-1);
  }

  h1,
  h2,
  h3 {
    margin: 0;
    font-weight: 620;
    letter-spacing: -0.01em;
  }

  h1 {
    font-size: 1.5rem;
  }

  h2 {
    font-size: 1.15rem;
  }

  h3 {
    margin-bottom: var(--_space-2);
    font-size: var(--_text-medium);
  }

  .intro p {
    max-width: 46rem;
    margin: 0;
    color: var(--_text-quiet);
  }

  .panel {
    display: grid;
    gap: var(--_space-4);
    padding: var(--_space-5);
    border: 1px solid var(--_border);
    border-radius: var(--_radius-large);
    background: var(--_surface-raised);
    box-shadow: var(--_shadow);
  }

  .panel-head,
  .exports,
  .run,
  .run-actions {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--_space-2) var(--_space-3);
  }

  .panel-head {
    justify-content: space-between;
  }

  .run tramontane-progress {
    flex: 1 1 16rem;
  }

  .fields {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr));
    gap: var(--_space-4);
  }

  fieldset {
    display: flex;
    flex-wrap: wrap;
    gap: var(--_space-1) var(--_space-4);
    margin: 0;
    padding: 0;
    border: 0;
  }

  legend {
    margin-bottom: var(--_space-1);
    padding: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    font-weight: 550;
  }

  .choice {
    display: flex;
    align-items: baseline;
    gap: var(--_space-2);
    min-height: 2rem;
    cursor: pointer;
  }

  .choice input {
    width: 1.05rem;
    height: 1.05rem;
    margin: 0;
    accent-color: var(--_fill-loud);
    translate: 0 0.15rem;
  }

  .headline {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr));
    gap: var(--_space-4);
    margin: 0;
  }

  .headline div {
    padding: var(--_space-4);
    border-radius: var(--_radius-medium);
    background: var(--_fill-quiet);
    color: var(--_on-quiet);
  }

  .headline dt {
    font-size: var(--_text-small);
  }

  .headline dd {
    margin: 0;
  }

  .headline strong {
    font-size: 2rem;
    font-weight: 620;
    font-variant-numeric: tabular-nums;
    letter-spacing: -0.02em;
  }

  code {
    font-family: var(--_font-code);
  }

  .labels {
    display: flex;
    flex-wrap: wrap;
    gap: var(--_space-2);
    margin: 0;
    padding: 0;
    list-style: none;
  }

  .labels:not(:has(li)) {
    display: none;
  }

  .label {
    padding: 0.15rem 0.6rem;
    border-radius: 999px;
    background: var(--_warning-fill);
    color: var(--_warning);
    font-size: var(--_text-small);
  }

  .label.good {
    background: var(--_good-fill);
    color: var(--_good);
  }

  .label.grave {
    background: var(--_danger-fill);
    color: var(--_danger);
  }

  .notes {
    margin: 0;
    padding-inline-start: 1.2rem;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .scroll {
    overflow-x: auto;
  }

  .scroll:focus-visible {
    outline: 2px solid var(--_focus);
    outline-offset: 2px;
  }

  table {
    width: 100%;
    border-collapse: collapse;
    font-size: var(--_text-small);
    font-variant-numeric: tabular-nums;
  }

  th,
  td {
    padding: var(--_space-2) var(--_space-3) var(--_space-2) 0;
    border-bottom: 1px solid var(--_border);
    text-align: start;
    white-space: nowrap;
  }

  thead th {
    color: var(--_text-quiet);
    font-weight: 550;
    vertical-align: bottom;
  }

  tbody th {
    font-weight: 550;
  }

  .number {
    text-align: end;
  }

  .strong {
    font-weight: 620;
  }

  .quiet,
  .marked {
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    font-weight: 400;
  }

  p.quiet {
    margin: 0;
  }

  .kernels {
    display: grid;
    gap: var(--_space-3);
  }

  .kernels > * {
    min-width: 0;
  }

  h4 {
    margin: var(--_space-2) 0 0;
    font-size: var(--_text-medium);
    font-weight: 550;
  }

  .decode {
    --_phase: light-dark(#0d6a8f, #5dbfe0);
  }

  .prefill {
    --_phase: light-dark(#b4531b, #f0a36b);
  }

  .roofline {
    display: grid;
    gap: var(--_space-2);
    margin: 0;
  }

  .roofline svg {
    display: block;
    width: 100%;
    min-width: 38rem;
    font-family: var(--_font);
    font-size: 12px;
  }

  .roofline .grid {
    stroke: var(--_border);
  }

  .roofline .tick,
  .roofline .axis {
    fill: var(--_text-quiet);
  }

  .roofline .roof {
    fill: none;
    stroke: var(--_text);
    stroke-width: 2;
  }

  .roofline .roof-name {
    fill: var(--_text);
    font-weight: 550;
  }

  .roofline .leader {
    fill: none;
    stroke: var(--_text-quiet);
    stroke-opacity: 0.5;
  }

  .roofline .name {
    fill: var(--_phase);
  }

  .roofline .point {
    fill: var(--_phase);
    fill-opacity: 0.75;
    stroke: var(--_surface-raised);
  }

  .key {
    color: var(--_phase);
  }

  .share {
    display: flex;
    align-items: center;
    justify-content: space-between;
    gap: var(--_space-2);
    font-weight: 620;
  }

  .share rect {
    fill: var(--_phase);
  }

  .kernels :is(th, td) {
    padding-inline-end: var(--_space-2);
  }

  .kernels tbody .quiet {
    display: block;
  }

  .machine summary {
    min-height: 2rem;
    font-weight: 550;
    cursor: pointer;
  }

  .machine dl {
    display: grid;
    grid-template-columns: max-content minmax(0, 1fr);
    gap: var(--_space-1) var(--_space-4);
    margin: var(--_space-2) 0;
    font-size: var(--_text-small);
  }

  .machine dt {
    color: var(--_text-quiet);
  }

  .machine dd {
    margin: 0;
    overflow-wrap: anywhere;
  }

  .machine p {
    margin: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .runs {
    display: grid;
    gap: var(--_space-3);
  }

  .runs ul {
    display: grid;
    gap: 0;
    margin: 0;
    padding: 0;
    list-style: none;
  }

  .runs li {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    justify-content: space-between;
    gap: var(--_space-2) var(--_space-4);
    padding: var(--_space-2) 0;
    border-bottom: 1px solid var(--_border);
  }

  .runs li strong {
    display: block;
  }

  .differ {
    font-weight: 550;
  }

  .report:not(:has(section)) {
    display: none;
  }

  @container (max-width: 34rem) {
    .page {
      padding-inline: var(--_space-4);
    }

    .panel {
      padding: var(--_space-4);
    }

    .machine dl {
      grid-template-columns: minmax(0, 1fr);
    }
  }
`;
