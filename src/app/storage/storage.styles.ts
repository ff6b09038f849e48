import { css } from 'lit';

export const storageStyles = css`
  .page {
    max-width: 60rem;
  }

  .summary {
    gap: var(--_space-4);
  }

  .quota {
    display: flex;
    height: 12px;
    overflow: hidden;
    border-radius: 6px;
    background: var(--_surface-sunken);
    box-shadow: inset 0 0 0 1px var(--_border);
    forced-color-adjust: none;
  }

  .quota span {
    flex: 0 0 auto;
    min-width: 0;
  }

  .quota .models {
    background: var(--_fill-loud);
  }

  .quota .other {
    background: color-mix(in srgb, var(--_fill-loud) 35%, var(--_surface-raised));
  }

  .totals {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr));
    gap: var(--_space-2) var(--_space-4);
    margin: 0;
  }

  .totals dt {
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .totals dd {
    margin: 0;
    font-size: 1.0625rem;
    font-weight: 600;
    font-variant-numeric: tabular-nums;
  }

  .totals .untold {
    color: var(--_text-quiet);
    font-size: var(--_text-medium);
    font-weight: 400;
  }

  .keep {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    justify-content: space-between;
    gap: var(--_space-2) var(--_space-4);
    padding-top: var(--_space-4);
    border-top: 1px solid var(--_border);
    font-size: var(--_text-medium);
  }

  .keep p {
    display: flex;
    gap: var(--_space-2);
    flex: 1 1 20rem;
    margin: 0;
    line-height: 1.5;
  }

  .keep svg {
    flex: none;
    margin-top: 0.2rem;
  }

  .kept svg {
    color: var(--_good);
  }

  .list {
    display: grid;
    gap: var(--_space-4);
    margin: 0;
    padding: 0;
    list-style: none;
  }

  .section {
    display: grid;
    gap: var(--_space-3);
  }

  .model-head {
    display: flex;
    flex-wrap: wrap;
    align-items: baseline;
    justify-content: space-between;
    gap: 0 var(--_space-4);
  }

  .size {
    font-weight: 600;
    font-variant-numeric: tabular-nums;
  }

  .meta {
    margin: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    line-height: 1.5;
    overflow-wrap: anywhere;
  }

  .meta a {
    color: inherit;
    text-underline-offset: 0.18em;
  }

  .model-text {
    display: grid;
    gap: var(--_space-1);
  }

  .damaged {
    max-height: 10rem;
    margin: var(--_space-1) 0;
    padding-inline-start: 1.25rem;
    overflow: auto;
    font-family: var(--_font-code);
    font-size: var(--_text-small);
  }

  .empty {
    justify-items: center;
    padding: var(--_space-6) var(--_space-5);
    text-align: center;
  }

  .empty > svg {
    width: 2.5rem;
    height: 2.5rem;
    color: var(--_text-quiet);
  }

  .empty p {
    max-width: 32rem;
    margin: 0;
    color: var(--_text-quiet);
    line-height: 1.6;
  }

  .empty .buttons {
    justify-content: center;
  }

  .danger-text {
    color: var(--_danger);
  }

  dialog {
    width: min(28rem, calc(100vw - 2rem));
    padding: var(--_space-5);
    border: 1px solid var(--_border);
    border-radius: var(--_radius-large);
    background: var(--_surface-raised);
    color: var(--_text);
    box-shadow: var(--_shadow);
  }

  dialog::backdrop {
    background: rgb(0 0 0 / 45%);
  }

  dialog form {
    display: grid;
    gap: var(--_space-4);
  }

  dialog p {
    margin: 0;
    line-height: 1.55;
  }

  dialog .buttons {
    justify-content: flex-end;
  }

  .button.danger:not(:disabled) {
    border-color: transparent;
    background: var(--_danger);
    color: var(--_surface-raised);
  }

  @container (max-width: 30rem) {
    .model .buttons .button {
      flex: 1 1 8rem;
    }
  }
`;
