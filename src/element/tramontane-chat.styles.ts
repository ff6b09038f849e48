import { css } from 'lit';

export const chatStyles = css`
  :host {
    display: block;
    min-height: 20rem;
    height: 36rem;
    overflow: hidden;
    background: var(--_surface);
    color: var(--_text);
    font-family: var(--_font);
    font-size: var(--_text-large);
    line-height: 1.5;
    container-type: inline-size;
    -webkit-font-smoothing: antialiased;
  }

  .frame {
    position: relative;
    display: grid;
    grid-template-rows: auto minmax(0, 1fr) auto;
    height: 100%;
  }

  .toolbar {
    display: flex;
    align-items: center;
    gap: var(--_space-1);
    min-height: 3rem;
    padding: 0 var(--_space-4);
  }

  .status {
    display: flex;
    flex: 1;
    align-items: center;
    gap: var(--_space-2);
    min-width: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .switch {
    display: flex;
    gap: var(--_space-1);
    align-items: center;
    min-width: 0;
    min-height: 2rem;
    margin-inline-start: calc(-1 * var(--_space-2));
    padding: 0 var(--_space-2);
    border: 0;
    border-radius: var(--_radius-small);
    background: none;
    color: inherit;
    font: inherit;
    cursor: pointer;
  }

  .switch:hover:enabled {
    background: var(--_surface-sunken);
  }

  .switch:disabled {
    cursor: default;
  }

  .switch .status-dot {
    margin-inline-end: var(--_space-1);
  }

  .switch svg {
    flex: none;
    width: 0.875rem;
    height: 0.875rem;
  }

  .status-text {
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
  }

  .status-dot {
    flex: none;
    width: 8px;
    height: 8px;
    border-radius: 50%;
    background: var(--_border-strong);
    forced-color-adjust: none;
  }

  .status.ready .status-dot {
    background: var(--_good);
  }

  .status.loading .status-dot {
    background: var(--_warning);
  }

  .status.failed .status-dot {
    background: var(--_danger);
  }

  .scroller {
    overflow-y: auto;
    overscroll-behavior: contain;
    outline-offset: -4px;
    scrollbar-width: thin;
    scrollbar-color: var(--_border-strong) transparent;
    scrollbar-gutter: stable both-edges;
  }

  .column {
    display: flow-root;
    max-width: calc(var(--_measure) + 2 * var(--_space-4));
    margin: 0 auto;
    padding: 0 var(--_space-4);
  }

  .messages {
    display: grid;
    gap: var(--_space-5);
    padding-block: var(--_space-4) var(--_space-6);
  }

  .empty {
    display: grid;
    align-content: center;
    gap: var(--_space-5);
    min-height: 100%;
    padding-block: var(--_space-5);
  }

  .scroller:has(.empty:not([hidden])) .column {
    display: grid;
    min-height: 100%;
  }

  .hero {
    display: grid;
    justify-items: center;
    gap: var(--_space-2);
    text-align: center;
  }

  .hero svg {
    width: 3rem;
    height: 3rem;
    margin-bottom: var(--_space-1);
    color: var(--_fill-loud);
  }

  .hero h1 {
    margin: 0;
    font-size: clamp(1.5rem, 1.2rem + 1.4cqi, 2rem);
    font-weight: 620;
    line-height: 1.2;
    letter-spacing: -0.02em;
    text-wrap: balance;
  }

  .hero p {
    max-width: 38rem;
    margin: 0;
    color: var(--_text-quiet);
    line-height: 1.6;
    text-wrap: balance;
  }

  .suggestions {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr));
    gap: var(--_space-3);
    margin: 0;
    padding: 0;
    list-style: none;
  }

  .suggestion {
    width: 100%;
    height: 100%;
    padding: var(--_space-3) var(--_space-4);
    border: 1px solid var(--_border);
    border-radius: var(--_radius-medium);
    background: var(--_surface-raised);
    color: var(--_text);
    font: inherit;
    font-size: var(--_text-medium);
    line-height: 1.45;
    text-align: start;
    cursor: pointer;
    transition: border-color 120ms;
  }

  .suggestion:hover {
    border-color: var(--_fill-loud);
  }

  .dock {
    position: relative;
    padding-bottom: var(--_space-3);
  }

  .dock[hidden] {
    display: none;
  }

  .dock .column {
    display: grid;
    gap: var(--_space-2);
  }

  .button.jump {
    position: absolute;
    inset-block-start: -3.25rem;
    inset-inline-start: 50%;
    translate: -50% 0;
    border-radius: 999px;
    box-shadow: var(--_shadow);
  }

  .undo {
    display: flex;
    align-items: center;
    justify-content: center;
    gap: var(--_space-3);
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .footnote {
    display: flex;
    align-items: center;
    justify-content: space-between;
    gap: var(--_space-3);
    min-height: 1.25rem;
    padding-inline: var(--_space-2);
    color: var(--_text-quiet);
    font-size: 0.75rem;
    font-variant-numeric: tabular-nums;
  }

  .context {
    display: inline-flex;
    align-items: center;
    gap: var(--_space-2);
    margin-inline-start: auto;
    white-space: nowrap;
  }

  .context.full {
    color: var(--_warning);
    font-weight: 550;
  }

  meter {
    width: 3.5rem;
    height: 6px;
    appearance: none;
    border: 0;
    border-radius: 3px;
    background: var(--_border);
  }

  meter::-webkit-meter-inner-element {
    display: block;
  }

  meter::-webkit-meter-bar {
    height: 6px;
    border: 0;
    border-radius: 3px;
    background: var(--_border);
  }

  meter::-webkit-meter-optimum-value {
    border-radius: 3px;
    background: var(--_fill-loud);
  }

  meter::-moz-meter-bar {
    border-radius: 3px;
    background: var(--_fill-loud);
  }

  meter::-webkit-meter-suboptimum-value {
    border-radius: 3px;
    background: var(--_warning);
  }

  .settings,
  .models {
    width: min(24rem, calc(100vw - 2rem));
    max-height: calc(100vh - 2rem);
    margin: 0;
    inset: auto;
    padding: var(--_space-5);
    overflow-y: auto;
    border: 1px solid var(--_border);
    border-radius: var(--_radius-large);
    background: var(--_surface-raised);
    color: var(--_text);
    box-shadow: var(--_shadow);
  }

  .models {
    padding-block: var(--_space-2);
  }

  .models .other-models {
    padding: 0;
    border: 0;
    background: none;
  }

  @container (max-width: 30rem) {
    .toolbar {
      padding: 0 var(--_space-2) 0 var(--_space-4);
    }

    .toolbar .button span {
      position: absolute;
      width: 1px;
      height: 1px;
      overflow: hidden;
      clip-path: inset(50%);
    }

    .toolbar .button {
      width: 2.25rem;
      min-height: 2.25rem;
      padding: 0;
    }

    .keys {
      display: none;
    }

    .footnote {
      min-height: 0;
    }

    .scroller {
      scrollbar-gutter: auto;
    }

    .empty {
      gap: var(--_space-4);
      padding-block: var(--_space-3);
    }

    .hero svg {
      width: 2.25rem;
      height: 2.25rem;
    }

    .hero p {
      font-size: var(--_text-medium);
    }
  }

  @media (forced-colors: active) {
    .status-dot {
      border: 1px solid CanvasText;
    }

    .context meter {
      forced-color-adjust: none;
    }
  }
`;
