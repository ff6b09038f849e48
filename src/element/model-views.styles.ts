import { css } from 'lit';

export const modelViews = css`
  .panel {
    display: grid;
    gap: var(--_space-3);
    padding: var(--_space-5);
    border: 1px solid var(--_border);
    border-radius: var(--_radius-large);
    background: var(--_surface-raised);
    box-shadow: var(--_shadow);
    text-align: start;
  }

  .panel.compact {
    padding: var(--_space-3) var(--_space-4);
    box-shadow: none;
  }

  .waiting-model {
    grid-template-columns: 1fr auto;
    align-items: center;
    font-size: var(--_text-medium);
    line-height: 1.45;
  }

  .waiting-model strong {
    font-weight: 600;
  }

  .loading {
    display: grid;
    grid-template-columns: 1fr auto;
    gap: var(--_space-4);
    align-items: center;
  }

  @container (max-width: 30rem) {
    .loading {
      grid-template-columns: 1fr;
      gap: var(--_space-2);
    }

    .loading .button {
      justify-self: end;
    }
  }

  .other-models {
    display: grid;
    margin: 0;
    padding: 0 var(--_space-5);
    border: 1px solid var(--_border);
    border-radius: var(--_radius-large);
    background: var(--_surface-raised);
    list-style: none;
    text-align: start;
  }

  .other-models li {
    display: grid;
    grid-template-columns: minmax(0, 1fr) auto;
    gap: var(--_space-3);
    align-items: center;
    padding: var(--_space-3) 0;
  }

  .other-models li + li {
    border-top: 1px solid var(--_border);
  }

  .other-models .button {
    min-height: 2.75rem;
    min-width: 5.5rem;
    text-decoration: none;
  }

  .other-name {
    display: grid;
    font-size: var(--_text-medium);
    line-height: 1.45;
  }

  .other-name strong {
    font-weight: 600;
  }

  .other-name span {
    color: var(--_text-quiet);
    font-size: var(--_text-small);
  }

  .no-webgpu h2 {
    margin: 0;
    font-size: 1.125rem;
    font-weight: 620;
  }

  .no-webgpu p,
  .no-webgpu ol {
    margin: 0;
    line-height: 1.6;
    overflow-wrap: anywhere;
  }

  .no-webgpu ol {
    padding-inline-start: 1.25rem;
  }

  .no-webgpu li + li {
    margin-top: var(--_space-2);
  }

  .no-webgpu .button {
    justify-self: start;
  }
`;
