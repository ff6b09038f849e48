import { css } from 'lit';

export const importStyles = css`
  .columns {
    display: grid;
    grid-template-columns: minmax(0, 5fr) minmax(0, 7fr);
    gap: var(--_space-5);
    align-items: start;
  }

  .column {
    display: grid;
    gap: var(--_space-4);
    min-width: 0;
  }

  .one-step {
    max-width: 55rem;
  }

  .single {
    display: grid;
    gap: var(--_space-4);
  }

  .drop {
    display: grid;
    justify-items: center;
    gap: var(--_space-2);
    padding: var(--_space-6) var(--_space-5);
    border: 1.5px dashed var(--_border-strong);
    border-radius: var(--_radius-large);
    background: var(--_surface-raised);
    text-align: center;
    transition:
      border-color 120ms,
      background-color 120ms;
  }

  .drop > svg {
    width: 2rem;
    height: 2rem;
    color: var(--_fill-loud);
  }

  .drop strong {
    font-size: 1.0625rem;
    font-weight: 600;
  }

  .drop .choices {
    display: flex;
    flex-wrap: wrap;
    justify-content: center;
    gap: var(--_space-2);
    margin-top: var(--_space-2);
  }

  .dragging .drop {
    border-style: solid;
    border-color: var(--_fill-loud);
    background: var(--_fill-quiet);
  }

  .address {
    display: grid;
    gap: var(--_space-2);
  }

  .address .row {
    display: grid;
    grid-template-columns: minmax(0, 1fr) auto;
    gap: var(--_space-2);
  }

  .address .input {
    min-height: 2.75rem;
    font-family: var(--_font-code);
    font-size: var(--_text-small);
  }

  .address .button {
    min-height: 2.75rem;
  }

  .help {
    margin: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    line-height: 1.5;
  }

  .offers {
    display: grid;
    gap: var(--_space-4);
    margin: 0;
    padding: 0;
    list-style: none;
  }

  .offer {
    display: grid;
    gap: var(--_space-3);
  }

  .offer[data-wanted] {
    border-color: var(--_fill-loud);
  }

  .offer-head {
    display: flex;
    flex-wrap: wrap;
    align-items: baseline;
    justify-content: space-between;
    gap: 0 var(--_space-3);
  }

  .meta {
    margin: 0;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    font-variant-numeric: tabular-nums;
    line-height: 1.5;
  }

  .meta a {
    color: inherit;
    text-underline-offset: 0.18em;
  }

  .description {
    margin: 0;
    color: var(--_text);
    font-size: var(--_text-medium);
    line-height: 1.55;
  }

  .stored-mark {
    color: var(--_good);
    font-size: var(--_text-small);
    font-weight: 550;
  }

  .builds {
    display: grid;
    gap: var(--_space-2);
    margin: 0;
    padding: 0;
    list-style: none;
  }

  .build {
    display: grid;
    grid-template-columns: minmax(0, 1fr) auto;
    gap: var(--_space-3);
    align-items: center;
    padding-top: var(--_space-2);
    border-top: 1px solid var(--_border);
  }

  .build-name {
    display: block;
    font-size: var(--_text-medium);
    font-weight: 550;
    font-variant-numeric: tabular-nums;
  }

  .build-place {
    display: block;
    overflow: hidden;
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    text-overflow: ellipsis;
    white-space: nowrap;
  }

  .build p {
    margin: 0;
  }

  .build-mark {
    margin-inline-start: var(--_space-2);
    color: var(--_good);
    font-size: var(--_text-small);
  }

  .sha256 {
    overflow-wrap: anywhere;
  }

  .unable summary {
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    line-height: 2.75rem;
    cursor: pointer;
  }

  .unable ul {
    columns: 12rem;
    margin: 0;
    padding-inline-start: var(--_space-4);
    color: var(--_text-quiet);
    font-size: var(--_text-small);
    font-variant-numeric: tabular-nums;
    line-height: 1.6;
  }

  .pending {
    display: grid;
    grid-template-columns: minmax(0, 1fr) auto;
    gap: var(--_space-3) var(--_space-4);
    align-items: center;
  }

  .device {
    gap: var(--_space-3);
  }

  .device h2 {
    font-size: var(--_text-medium);
  }

  .pairs {
    display: grid;
    grid-template-columns: auto minmax(0, 1fr);
    gap: var(--_space-1) var(--_space-4);
    margin: 0;
    font-size: var(--_text-small);
    line-height: 1.5;
  }

  .pairs dt {
    color: var(--_text-quiet);
  }

  .pairs dd {
    margin: 0;
    overflow-wrap: anywhere;
    font-variant-numeric: tabular-nums;
  }

  .back {
    justify-self: start;
    /* Its arrow stands where the text below begins. */
    margin-inline-start: calc(-1 * var(--_space-4));
  }

  .preview-head {
    display: grid;
    gap: var(--_space-1);
  }

  .facts {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr));
    gap: var(--_space-3) var(--_space-4);
    margin: 0;
    padding-block: var(--_space-4);
    border-block: 1px solid var(--_border);
  }

  .facts dt {
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .facts dd {
    margin: 0.125rem 0 0;
    font-size: var(--_text-medium);
    font-weight: 550;
    font-variant-numeric: tabular-nums;
    overflow-wrap: anywhere;
  }

  .verdict {
    display: grid;
    gap: var(--_space-3);
    padding-top: var(--_space-4);
    border-top: 1px solid var(--_border);
  }

  .test {
    display: grid;
    gap: var(--_space-2);
  }

  .checks {
    display: grid;
    gap: var(--_space-1);
  }

  .checks .fit {
    font-size: var(--_text-medium);
  }

  .checks .fit svg {
    margin-top: 0.25rem;
  }

  .go {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--_space-3);
    padding-top: var(--_space-4);
    border-top: 1px solid var(--_border);
  }

  .go .button.loud {
    min-height: 2.75rem;
    padding-inline: var(--_space-5);
  }

  .template {
    max-height: 16rem;
    margin: 0;
    padding: var(--_space-3) var(--_space-4);
    overflow: auto;
    border: 1px solid var(--_border);
    border-radius: var(--_radius-medium);
    background: var(--_surface-sunken);
    font-family: var(--_font-code);
    font-size: var(--_text-small);
    line-height: 1.5;
    white-space: pre-wrap;
    overflow-wrap: anywhere;
    tab-size: 2;
  }

  .done {
    justify-items: start;
  }

  .done-mark {
    display: grid;
    place-items: center;
    width: 2.5rem;
    height: 2.5rem;
    border-radius: 50%;
    background: var(--_good-fill);
    color: var(--_good);
  }

  .overlay {
    position: fixed;
    z-index: 2;
    inset: 0;
    display: grid;
    place-items: center;
    background: color-mix(in srgb, var(--_surface) 80%, transparent);
    pointer-events: none;
  }

  .overlay span {
    padding: var(--_space-4) var(--_space-5);
    border: 2px dashed var(--_fill-loud);
    border-radius: var(--_radius-large);
    background: var(--_surface-raised);
    color: var(--_text);
    font-weight: 600;
  }

  @container (max-width: 56rem) {
    .columns {
      grid-template-columns: minmax(0, 1fr);
    }
  }

  @container (max-width: 30rem) {
    .drop {
      padding: var(--_space-5) var(--_space-4);
    }

    .pending,
    .build {
      grid-template-columns: minmax(0, 1fr);
    }

    .pending .buttons,
    .build .button {
      justify-self: start;
    }
  }
`;
