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
