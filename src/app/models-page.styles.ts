/** What the pages about models share: the import page and the storage page. */
import { css } from 'lit';

export const modelsPageStyles = css`
  .page {
    max-width: 72rem;
  }

  .intro {
    display: grid;
    gap: var(--_space-2);
  }

  h1,
  h2,
  h3 {
    margin: 0;
    letter-spacing: -0.01em;
    overflow-wrap: anywhere;
  }

  /* Focused so that reading goes on there, not to be acted upon. */
  [tabindex='-1']:focus-visible {
    outline: none;
  }

  h1 {
    font-size: 1.5rem;
    font-weight: 620;
    letter-spacing: -0.02em;
  }

  h2 {
    font-size: 1.125rem;
    font-weight: 620;
  }

  h3 {
    font-size: 1rem;
    font-weight: 600;
  }

  .intro p {
    max-width: 46rem;
    margin: 0;
    color: var(--_text-quiet);
    line-height: 1.6;
  }

  .intro .outside {
    display: flex;
    gap: var(--_space-2);
    color: var(--_text);
    font-size: var(--_text-medium);
    line-height: 1.55;
  }

  .outside svg {
    flex: none;
    margin-top: 0.2rem;
    color: var(--_warning);
  }

  .buttons {
    display: flex;
    flex-wrap: wrap;
    gap: var(--_space-2);
  }

  /* Easy to hit, with a finger too. */
  .button:not(.small) {
    min-height: 2.75rem;
  }

  a.button {
    text-decoration: none;
  }

  .panel > .notice {
    margin: 0;
  }

  @container (max-width: 30rem) {
    .page {
      padding: var(--_space-4) var(--_space-4) var(--_space-5);
      gap: var(--_space-4);
    }

    .panel {
      padding: var(--_space-4);
    }
  }
`;
