import { css } from 'lit';

export const jsonStyles = css`
  .page {
    max-width: 76rem;
  }

  .intro {
    display: grid;
    gap: var(--_space-1);
  }

  h1 {
    margin: 0;
    font-size: 1.5rem;
    font-weight: 620;
    letter-spacing: -0.02em;
  }

  .intro p {
    max-width: 44rem;
    margin: 0;
    color: var(--_text-quiet);
    line-height: 1.6;
  }

  .columns {
    display: grid;
    grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
    gap: var(--_space-5);
    align-items: start;
  }

  form,
  .result {
    display: grid;
    gap: var(--_space-4);
    min-width: 0;
  }

  .schema {
    min-height: 21rem;
    resize: vertical;
    font-family: var(--_font-code);
    font-size: var(--_text-small);
    line-height: 1.55;
    tab-size: 2;
    white-space: pre;
  }

  .prompt {
    min-height: 5.5rem;
    resize: vertical;
    line-height: 1.5;
  }

  .field-row {
    display: flex;
    align-items: end;
    justify-content: space-between;
    gap: var(--_space-3);
  }

  select.input {
    width: auto;
    min-height: 1.875rem;
    padding: 0.25rem 0.5rem;
    border-color: var(--_border);
    font-size: var(--_text-small);
  }

  .problems {
    display: grid;
    gap: var(--_space-1);
    margin: 0;
    padding: 0;
    list-style: none;
    color: var(--_danger);
    font-size: var(--_text-small);
  }

  .problems code,
  .notice code {
    font-family: var(--_font-code);
    font-size: 0.9em;
  }

  .run {
    display: flex;
    flex-wrap: wrap;
    align-items: end;
    gap: var(--_space-3);
  }

  .run .field {
    width: 8.5rem;
  }

  .result-head {
    display: flex;
    align-items: end;
    justify-content: space-between;
    min-height: 1.875rem;
    margin-bottom: calc(var(--_space-1) - var(--_space-4));
  }

  h2 {
    margin: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    font-weight: 550;
  }

  .output {
    min-height: 21rem;
    max-height: 40rem;
    margin: 0;
    padding: var(--_space-3) var(--_space-4);
    overflow: auto;
    border: 1px solid var(--_border);
    border-radius: var(--_radius-medium);
    background: var(--_surface-raised);
    font-family: var(--_font-code);
    font-size: var(--_text-small);
    line-height: 1.6;
    white-space: pre-wrap;
    overflow-wrap: anywhere;
    tab-size: 2;
  }

  .output.nothing {
    display: grid;
    place-content: center;
    color: var(--_text-quiet);
    font-family: var(--_font);
    text-align: center;
  }

  .misfits {
    margin: var(--_space-1) 0 0;
    padding-inline-start: 1.1rem;
    color: var(--_text);
    font-size: var(--_text-small);
  }

  .statistics {
    margin: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    font-variant-numeric: tabular-nums;
  }

  .models {
    display: grid;
    gap: var(--_space-4);
    max-width: 46rem;
  }

  @container (max-width: 50rem) {
    .page {
      padding: var(--_space-4);
    }

    .columns {
      grid-template-columns: minmax(0, 1fr);
    }

    .schema {
      min-height: 16rem;
    }

    .output {
      min-height: 10rem;
    }
  }
`;
